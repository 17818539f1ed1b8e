from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from shoal.contract import Context
from shoal.testing import check_stage
from shoal_plugins.sample.noise import Noise, _apart
from tests.plugins.reduce.tables import table


def picked(data: object, cluster: Sequence[int], stage: Noise | None = None) -> list[int]:
    """Return the rows that were picked, by rank."""
    answer = (stage or Noise()).run(table(data, cluster), Context())
    ids = answer["id"].to_pylist()
    assert ids == sorted(ids)
    rows = dict(zip(answer["rank"].to_pylist(), (int(name, 16) for name in ids), strict=True))
    return [rows[rank] for rank in range(len(rows))]


def test_it_keeps_the_contract() -> None:
    check_stage(Noise())
    check_stage(Noise(most=3))


LINE = np.array([0.0, 2, 9, 11, 3, 6, 30, 12])[:, None]  # centroids 1 and 10; noise at 3, 6, 30, 12
CLUSTER = [0, 0, 1, 1, -1, -1, -1, -1]


def test_the_nearest_to_some_cluster_comes_first_and_ties_go_by_id() -> None:
    assert picked(LINE, CLUSTER) == [4, 7, 5, 6]  # 2, 2, 4, 20 away
    assert picked(LINE, CLUSTER, Noise(most=2)) == [4, 7]


def test_no_noise_only_noise_and_nothing() -> None:
    assert picked(LINE, [0] * 8) == []
    assert picked(LINE, [-1] * 8) == list(range(8))
    assert picked(LINE, [-1] * 8, Noise(most=3)) == [0, 1, 2]
    assert picked(np.empty((0, 3)), []) == []


def test_equal_vectors_go_by_id_also_in_many_blocks_and_dimensions() -> None:
    rng = np.random.default_rng(0)
    same = np.tile(rng.normal(size=(1, 257)), (3000, 1))
    data = np.concatenate([same, rng.normal(size=(20, 257))])
    assert picked(data, [-1] * 3000 + [0] * 10 + [1] * 10) == list(range(3000))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-1, 4), max_size=50), st.integers(0, 12), st.integers(0, 99))
def test_ranks_follow_a_plain_reckoning(cluster: list[int], most: int, seed: int) -> None:
    data = np.random.default_rng(seed).normal(size=(len(cluster), 3)).astype(np.float32)
    numbers = np.array(cluster, dtype=int)
    means = [data[numbers == number].mean(axis=0, dtype=np.float64) for number in sorted(set(cluster) - {-1})]
    apart = {
        row: min((float(np.linalg.norm(data[row] - mean)) for mean in means), default=0.0)
        for row in np.flatnonzero(numbers < 0).tolist()
    }
    want = sorted(apart, key=lambda row: (apart[row], row))
    assert picked(data, cluster, Noise(most=most)) == want[: most or len(want)]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 12), st.integers(1, 9), st.integers(0, 99), st.sampled_from([0, 1, 1000]),
    st.sampled_from([1e-30, 1.0, 1e18]),
)  # fmt: skip
def test_distances_are_those_to_all_centroids_to_the_last_bit(
    count: int, clusters: int, components: int, seed: int, offset: int, scale: float
) -> None:
    """Also on a coarse grid far from the origin, where many centroids are equally near but for rounding."""
    rng = np.random.default_rng(seed)
    vectors = (scale * (offset + rng.integers(0, 3, size=(count, components)))).astype(np.float32)
    centroids = scale * (offset + rng.integers(0, 3, size=(clusters, components)) / 3)
    np.testing.assert_array_equal(_apart(vectors, centroids), cdist(vectors, centroids).min(axis=1))


@pytest.mark.parametrize("alike", [0, 990])
def test_many_clusters_in_many_dimensions(alike: int) -> None:
    """Also where nearly all of them are one and the same."""
    rng = np.random.default_rng(1)
    vectors, centroids = rng.normal(size=(1500, 96)).astype(np.float32), rng.normal(size=(1000, 96))
    if alike:
        vectors[:700], centroids[:alike] = vectors[0], vectors[0]
    np.testing.assert_array_equal(_apart(vectors, centroids), cdist(vectors, centroids).min(axis=1))
