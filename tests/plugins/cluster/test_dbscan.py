import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from shoal.contract import Context
from shoal.testing import check_stage
from shoal_plugins.cluster.dbscan import Dbscan
from tests.plugins.reduce.tables import Notes, blobs, table


@pytest.mark.parametrize("stage", [Dbscan(), Dbscan(mode="noise_control"), Dbscan(metric="cosine", algorithm="kd_tree")])
def test_it_keeps_the_contract(stage: Dbscan) -> None:
    check_stage(stage)


def test_fixed_eps_gives_what_scikit_learn_gives() -> None:
    from sklearn.cluster import DBSCAN

    data, _ = blobs(300, spread=0.4)
    answer = Dbscan(eps=1.0).run(table(data), Context())["cluster"].to_numpy()
    expected = DBSCAN(eps=1.0, min_samples=5).fit(data.astype(float)).labels_
    assert adjusted_rand_score(expected, answer) == 1.0
    assert ((expected < 0) == (answer < 0)).all()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 80), st.floats(0, 1), st.integers(2, 8), st.sampled_from(["euclidean", "cosine"]), st.integers(0, 1000)
)
def test_noise_control_keeps_its_bound(n: int, ratio: float, least: int, metric: str, seed: int) -> None:
    data = np.random.default_rng(seed).normal(size=(n, 3)).round(1)
    stage = Dbscan(mode="noise_control", max_noise_ratio=ratio, min_samples=least, metric=metric)
    clusters = stage.run(table(data), Context())["cluster"].to_numpy()
    assert (clusters < 0).sum() <= ratio * n + 1e-6


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 80), st.floats(0.05, 0.5), st.integers(0, 1000))
def test_noise_control_takes_the_smallest_eps(n: int, ratio: float, seed: int) -> None:
    from sklearn.cluster import DBSCAN

    data, notes = np.random.default_rng(seed).normal(size=(n, 3)), Notes()
    rows = table(data)
    Dbscan(mode="noise_control", max_noise_ratio=ratio).run(rows, notes.context())
    exact = np.asarray(rows["embedding"].to_pylist())
    smaller = DBSCAN(eps=notes["eps"] * 0.999, min_samples=5).fit(exact).labels_
    assert (smaller < 0).sum() > np.floor(ratio * n)


@pytest.mark.parametrize("algorithm", ["ball_tree", "kd_tree", "brute"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_every_way_to_find_neighbours_gives_one_answer(algorithm: str, metric: str) -> None:
    rows = table(blobs(200)[0])
    first = Dbscan(metric=metric).run(rows, Context())
    assert Dbscan(metric=metric, algorithm=algorithm).run(rows, Context())["cluster"].equals(first["cluster"])


def test_cosine_is_one_minus_the_cosine() -> None:
    from sklearn.cluster import DBSCAN

    data = np.random.default_rng(5).normal(size=(150, 3))
    answer = Dbscan(metric="cosine", eps=0.5, min_samples=30).run(table(data), Context())["cluster"].to_numpy()
    expected = DBSCAN(eps=0.5, min_samples=30, metric="cosine").fit(data).labels_
    assert ((expected < 0) == (answer < 0)).all()
    assert adjusted_rand_score(expected, answer) == 1.0


def test_the_core_is_strong_and_the_border_weak() -> None:
    line = np.concatenate([np.zeros(6), [0.4, 0.95, 5.0]])[:, None]
    answer = Dbscan(eps=0.5, min_samples=6).run(table(line), Context())
    assert answer["cluster"].to_pylist() == [0, 0, 0, 0, 0, 0, 0, -1, -1]
    assert answer["strength"].to_pylist() == [1.0] * 7 + [0.0, 0.0]
    outlier = answer["outlier"].to_pylist()
    assert outlier[:7] == [0.0] * 7
    assert 0 < outlier[7] < outlier[8] < 1
    border = Dbscan(eps=0.5, min_samples=7).run(table(np.concatenate([np.zeros(6), [0.4, 0.8]])[:, None]), Context())
    assert border["strength"].to_pylist()[:7] == [1.0] * 7
    assert border["cluster"].to_pylist()[7] == 0
    assert 0 < border["strength"].to_pylist()[7] < 1


@pytest.mark.parametrize("n", [0, 1, 3])
def test_tiny_sets(n: int) -> None:
    rows = table(np.arange(n)[:, None] * 0.1)
    assert Dbscan().run(rows, Context())["cluster"].to_pylist() == [-1] * n
    assert Dbscan(mode="noise_control").run(rows, Context())["cluster"].to_pylist() == [0] * n


@pytest.mark.parametrize("mode", ["fixed_eps", "noise_control"])
def test_images_that_are_all_alike_are_one_cluster(mode: str) -> None:
    answer = Dbscan(mode=mode).run(table(np.full((9, 4), 0.3)), Context())
    assert answer["cluster"].to_pylist() == [0] * 9
    assert answer["strength"].to_pylist() == [1.0] * 9
