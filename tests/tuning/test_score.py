"""The score: known values, and what must lose does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from shoal.tuning.score import Graph, graph, information, modularity, rand, score
from shoal.tuning.settings import Weights

labellings = st.integers(2, 60).flatmap(
    lambda size: st.tuples(*(st.lists(st.integers(-1, 6), min_size=size, max_size=size).map(np.asarray) for _ in range(2)))
)


@given(labellings)
def test_agreement_is_that_of_scikit_learn(pair: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = pair
    assert rand(first, second) == pytest.approx(adjusted_rand_score(first, second), abs=1e-12)
    assert information(first, second) == pytest.approx(normalized_mutual_info_score(first, second), abs=1e-9)


def test_modularity_of_two_triangles() -> None:
    edges = np.array([[0, 1], [1, 2], [0, 2], [3, 4], [4, 5], [3, 5], [2, 3]])
    joined = Graph(np.arange(6), edges, np.full(7, 0.25))
    assert modularity(joined, np.array([0, 0, 0, 1, 1, 1])) == pytest.approx(6 / 7 - 2 * (7 / 14) ** 2)
    assert modularity(joined, np.zeros(6, int)) == pytest.approx(0.0)
    assert modularity(joined, np.array([0, 0, 0, -1, -1, -1])) == pytest.approx(3 / 7 - (7 / 14) ** 2)
    assert modularity(joined, np.full(6, -1)) == 0.0
    weak_bridge = Graph(np.arange(6), edges, np.array([1, 1, 1, 1, 1, 1, 0.5]))
    assert modularity(weak_bridge, np.array([0, 0, 0, 1, 1, 1])) == pytest.approx(6 / 6.5 - 2 * (6.5 / 13) ** 2)


def test_the_graph_joins_nearest_ones_by_cosine() -> None:
    vectors = np.array([[1, 0], [10, 0.1], [0, 1], [0.1, 10]], np.float32)
    assert graph(vectors, 1).edges.tolist() == [[0, 1], [2, 3]]
    assert len(graph(vectors[:1], 5).edges) == 0
    assert len(graph(np.zeros((3, 4), np.float32), 10).edges) == 3


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    whole = graph(vectors, 7)
    monkeypatch.setattr("shoal.tuning.score.BLOCK", 64)
    again = graph(vectors, 7)
    assert np.array_equal(again.edges, whole.edges)
    assert np.array_equal(again.weights, whole.weights)


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(1, 12), st.integers(0, 2**31))
def test_edges_weigh_what_their_ends_share(size: int, neighbors: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(size, 3)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    order = np.argsort(-(unit @ unit.T) - 9 * np.eye(size), axis=1)[:, : neighbors + 1]
    near = [set(row.tolist()) for row in order]
    joined = graph(vectors, neighbors)
    assert {tuple(edge) for edge in joined.edges.tolist()} == {
        (min(one, other), max(one, other)) for one, own in enumerate(near) for other in own if other != one
    }
    expected = [len(near[one] & near[other]) / len(near[one] | near[other]) for one, other in joined.edges.tolist()]
    assert joined.weights == pytest.approx(expected)


@pytest.fixture(scope="module")
def groups() -> tuple[Graph, np.ndarray]:
    """Eight groups of 50 in 16 dimensions, near enough to each other that some neighbours lie in another one."""
    noise = np.random.default_rng(1)
    truth = np.repeat(np.arange(8), 50)
    vectors = noise.normal(size=(8, 16))[truth] + noise.normal(scale=0.6, size=(400, 16))
    return graph(vectors.astype(np.float32), Weights().neighbors), truth


def test_giants_noise_and_crumbs_lose(groups: tuple[Graph, np.ndarray]) -> None:
    """Each is as stable as can be, and still far below the good clusters, and below good ones that shake a little."""
    joined, truth = groups
    noise = np.random.default_rng(2)
    good = score(joined, truth, truth, Weights()).score
    shaken = np.where(noise.random(400) < 0.1, noise.integers(0, 8, 400), truth)
    slightly_wrong = score(joined, shaken, truth, Weights()).score
    giant = np.zeros(400, int)
    giants = np.where(truth < 4, 0, 1)
    crumbs = truth * 13 + np.arange(400) % 13
    almost_all_noise = np.where(np.arange(400) % 10, -1, truth)
    giant_and_crumb = np.where(np.arange(400) < 4, 1, 0)
    for bad in (giant, np.full(400, -1), crumbs, almost_all_noise, giant_and_crumb):
        assert score(joined, bad, bad, Weights()).score < 0.35 * slightly_wrong < good
    assert score(joined, giants, giants, Weights()).score < slightly_wrong


def test_unstable_clusters_lose_against_stable_ones(groups: tuple[Graph, np.ndarray]) -> None:
    joined, truth = groups
    other = np.random.default_rng(3).permutation(truth)
    assert score(joined, truth, other, Weights()).score < 0.3 * score(joined, truth, truth, Weights()).score
    assert score(joined, truth, None, Weights()).score == score(joined, truth, truth, Weights()).score
    assert score(joined, truth, other, Weights(stability=0.0)).score == pytest.approx(modularity(joined, truth))
