"""Which candidates to evaluate next. Both searches are deterministic, given their seed and the scores they are told."""

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

from shoal.tuning.space import Genes, Space

TRIES = 60
"""Draws for a candidate that was not seen before the space counts as used up nearby."""

ELITES = 0.25
MUTATION = 0.25
FAR = 0.3
NEWCOMERS = 0.15


class Search(Protocol):
    """Says what to try."""

    def ask(self, count: int) -> list[Genes]:
        """Return at most `count` candidates that were not asked for before; none when there are no more."""

    def tell(self, genes: Genes, score: float | None) -> None:
        """Hear a candidate's score; None where it failed."""


class Grid:
    """All combinations, the first option slowest, so that those that share a reduction come together.

    Args:
        space: what there is.
        budget: most candidates; of more combinations an even draw by `seed`.
        seed: of that draw.
        first: candidates to begin with.
    """

    def __init__(self, space: Space, budget: int, seed: int, first: Sequence[Genes] = ()) -> None:
        """Choose the candidates."""
        begun = [space.repaired(genes) for genes in first]
        drawn = list(dict.fromkeys([*begun, *_combinations(space, budget, seed)]))[:budget]
        rest = sorted(genes for genes in drawn if genes not in begun)
        self._left: Iterator[Genes] = iter([*dict.fromkeys(begun), *rest][:budget])

    def ask(self, count: int) -> list[Genes]:
        """Return the next ones."""
        return list(islice(self._left, count))

    def tell(self, genes: Genes, score: float | None) -> None:
        """Learn nothing."""


def _combinations(space: Space, budget: int, seed: int) -> Iterator[Genes]:
    """Yield combinations: all of them, or more than the budget asks for, in random order: repaired, some are the same."""
    size = space.size
    places = range(size) if size <= budget else random.Random(seed).sample(range(size), min(size, budget * 4))
    for place in places:
        yield space.repaired(space.genes(place))


class Evolution:
    """The best, crossed and mutated.

    A generation's parents are the best quarter of all candidates so far. A child takes each option from one of two parents;
    then each option is, with some probability, moved to a neighbouring value (of a range) or to any (of a list). A few
    newcomers keep it from going blind.

    Args:
        space: what there is.
        seed: of all draws.
        first: candidates to begin with.
    """

    def __init__(self, space: Space, seed: int, first: Sequence[Genes] = ()) -> None:
        """Know nothing yet."""
        self.space = space
        self._random = random.Random(seed)
        self._first = [space.repaired(genes) for genes in first]
        self._asked: set[Genes] = set()
        self._scores: dict[Genes, float] = {}

    def ask(self, count: int) -> list[Genes]:
        """Return a generation."""
        made: list[Genes] = []
        while self._first and len(made) < count:
            self._keep(self._first.pop(0), made)
        parents = self._parents()
        for _ in range(TRIES * count):
            if len(made) >= count:
                break
            alone = len(parents) < 2 or self._random.random() < NEWCOMERS
            self._keep(self._newcomer() if alone else self._child(parents), made)
        return made

    def tell(self, genes: Genes, score: float | None) -> None:
        """Remember a score."""
        if score is not None:
            self._scores[genes] = score

    def _keep(self, genes: Genes, made: list[Genes]) -> None:
        if genes not in self._asked:
            self._asked.add(genes)
            made.append(genes)

    def _parents(self) -> list[Genes]:
        ranked = sorted(self._scores, key=lambda genes: (-self._scores[genes], genes))
        return ranked[: max(2, min(round(len(ranked) * ELITES), 12))]

    def _newcomer(self) -> Genes:
        return self.space.repaired(tuple(self._random.randrange(len(d.values)) for d in self.space.dimensions))

    def _child(self, parents: Sequence[Genes]) -> Genes:
        mother, father = self._random.sample(list(parents), 2)
        mixed = [self._random.choice(pair) for pair in zip(mother, father, strict=True)]
        return self.space.repaired(tuple(self._mutated(place, gene) for place, gene in enumerate(mixed)))

    def _mutated(self, place: int, gene: int) -> int:
        if self._random.random() >= MUTATION:
            return gene
        dimension = self.space.dimensions[place]
        if not dimension.ordered or self._random.random() < FAR:
            return self._random.randrange(len(dimension.values))
        return min(max(gene + self._random.choice((-1, 1)), 0), len(dimension.values) - 1)
