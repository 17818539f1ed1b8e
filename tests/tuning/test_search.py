"""Both searches: nothing twice, all of a small grid, the same again, and evolution finds more than chance."""

import random

from hypothesis import given
from hypothesis import strategies as st

from shoal.tuning.search import Evolution, Grid, Search
from shoal.tuning.space import Dimension, Genes, Space

shapes = st.lists(st.integers(1, 5), min_size=1, max_size=5)


def space_of(sizes: list[int]) -> Space:
    return Space(tuple(Dimension(f"s.o{place}", tuple(range(size)), place % 2 == 0) for place, size in enumerate(sizes)))


def asked(search: Search, generation: int, budget: int) -> list[Genes]:
    """Ask for a budget; the score is the sum of a candidate's places, and some fail."""
    found: list[Genes] = []
    while len(found) < budget:
        wanted = min(generation, budget - len(found))
        some = search.ask(wanted)
        if not some:
            break
        assert len(some) <= wanted
        for genes in some:
            search.tell(genes, None if sum(genes) == 3 else float(sum(genes)))
        found += some
    return found


@given(shapes, st.integers(0, 99), st.integers(1, 9), st.integers(1, 60), st.integers(1, 12))
def test_no_candidate_comes_twice_and_all_lie_in_the_space(
    sizes: list[int], seed: int, generation: int, budget: int, begun: int
) -> None:
    space = space_of(sizes)
    first = [space.genes(place) for place in range(space.size)][-begun:]
    for search in (Grid(space, budget, seed, first), Evolution(space, seed, first)):
        found = asked(search, generation, budget)
        assert len(set(found)) == len(found) <= budget
        assert found[: len(first)] == first[:budget]
        assert all(0 <= gene < size for genes in found for gene, size in zip(genes, sizes, strict=True))


@given(shapes, st.integers(0, 99))
def test_the_same_seed_and_scores_ask_for_the_same(sizes: list[int], seed: int) -> None:
    space = space_of(sizes)
    assert asked(Evolution(space, seed), 5, 40) == asked(Evolution(space, seed), 5, 40)
    assert asked(Grid(space, 40, seed), 5, 40) == asked(Grid(space, 40, seed), 7, 40)


@given(shapes)
def test_a_grid_within_the_budget_is_whole(sizes: list[int]) -> None:
    space = space_of(sizes)
    found = asked(Grid(space, space.size, 0), 7, space.size)
    assert set(found) == {space.genes(place) for place in range(space.size)}


def test_a_grid_over_the_budget_is_drawn_evenly() -> None:
    space = space_of([50, 50])
    found = asked(Grid(space, 400, 3), 50, 400)
    assert len(found) == 400
    assert 20 < sum(genes[0] for genes in found) / 400 < 29


def test_evolution_finds_more_than_chance() -> None:
    space = space_of([12] * 6)
    target = (3, 9, 1, 7, 5, 11)

    def score(genes: Genes) -> float:
        return -float(sum(abs(gene - want) for gene, want in zip(genes, target, strict=True)))

    for seed in range(5):
        evolution, chance = Evolution(space, seed), random.Random(seed)
        tried: list[Genes] = []
        for _ in range(10):
            some = evolution.ask(20)
            for genes in some:
                evolution.tell(genes, score(genes))
            tried += some
        blind = [space.genes(chance.randrange(space.size)) for _ in tried]
        assert max(map(score, tried)) >= max(map(score, blind)) + 3
