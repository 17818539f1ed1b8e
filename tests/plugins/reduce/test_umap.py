import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.contract import Context
from shoal.errors import StageError
from shoal.testing import check_stage
from shoal_plugins.reduce import _layout, _neighbours
from shoal_plugins.reduce._fuzzy import fuzzy_graph
from shoal_plugins.reduce._layout import layouts_for
from shoal_plugins.reduce._neighbours import exact, neighbours
from shoal_plugins.reduce.umap import Umap
from tests.plugins.reduce.tables import Notes, blobs, table, vectors

QUICK = Umap(epochs=50)


@pytest.mark.parametrize("stage", [QUICK, Umap(epochs=20, layouts=3, metric="euclidean", pca=0, power=0.5)])
def test_it_keeps_the_contract(stage: Umap) -> None:
    check_stage(stage)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(1, 6), st.sampled_from(["euclidean", "cosine"]), st.integers(0, 1000))
def test_neighbours_are_those_that_scikit_learn_finds(n: int, size: int, metric: str, seed: int) -> None:
    from sklearn.neighbors import NearestNeighbors

    data = (np.random.default_rng(seed).normal(size=(n, size)) + 0.1).astype(np.float32)
    k = min(n, 6)
    indices, distances = exact(data, k, metric)
    search = NearestNeighbors(n_neighbors=k - 1, metric=metric, algorithm="brute").fit(data.astype(float))
    expected, _ = search.kneighbors()
    assert (indices[:, 0] == np.arange(n)).all()
    assert (distances[:, 0] == 0).all()
    assert (np.diff(distances, axis=1) >= 0).all()
    np.testing.assert_allclose(distances[:, 1:], expected, atol=1e-5)
    assert all(len(set(row)) == k for row in indices.tolist())


def test_blocks_of_rows_give_the_same_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    data, _ = blobs(300)
    indices, distances = exact(data, 10, "cosine")
    monkeypatch.setattr(_neighbours, "PAIRS_AT_ONCE", 64 * 300)
    again, far = exact(data, 10, "cosine")
    assert (indices == again).mean() > 0.999
    np.testing.assert_allclose(far, distances, atol=1e-6)


def test_neighbours_of_many_groups_of_columns_are_exact() -> None:
    from sklearn.neighbors import NearestNeighbors

    data = np.random.default_rng(3).normal(size=(4000, 5)).astype(np.float32)
    _, distances = exact(data, 10, "euclidean")
    expected, _ = NearestNeighbors(n_neighbors=9).fit(data.astype(float)).kneighbors()
    np.testing.assert_allclose(distances[:, 1:], expected, atol=1e-5)


@pytest.mark.slow
def test_large_sets_get_approximate_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_neighbours, "EXACT_ROWS", 1000)
    data = np.random.default_rng(0).normal(size=(1500, 10)).astype(np.float32)
    found, _, how = neighbours(data, 10, "euclidean", 42)
    assert how == "pynndescent"
    true, _ = exact(data, 10, "euclidean")
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), true.tolist(), strict=True)])
    assert recall > 0.95
    assert (neighbours(data, 10, "euclidean", 42)[0] == found).all()


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_the_graph_is_that_of_umap_learn(metric: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap.umap_ import fuzzy_simplicial_set
    data, _ = blobs(300)
    data[5] = data[6]  # a distance of 0 between different rows
    indices, distances = exact(data, 12, metric)
    expected = fuzzy_simplicial_set(
        data, 12, np.random.RandomState(0), metric, knn_indices=indices, knn_dists=distances
    )[0].toarray()  # fmt: skip
    graph = fuzzy_graph(indices, distances).toarray()
    np.testing.assert_allclose(graph, expected, atol=2e-4)
    assert (graph == graph.T).all()


def test_groups_come_out_apart() -> None:
    data, group = blobs(150)
    layout = vectors(Umap(components=2, epochs=200).run(table(data), Context()))
    nearest, _ = exact(layout, 6, "euclidean")
    assert (group[nearest[:, 1:]] == group[:, None]).mean() > 0.98


def test_a_seed_gives_one_layout_and_another_seed_another() -> None:
    rows = table(blobs(60)[0])
    first = vectors(QUICK.run(rows, Context()))
    assert (vectors(QUICK.run(rows, Context(threads=2))) == first).all()
    assert (vectors(Umap(epochs=50, seed=1).run(rows, Context())) != first).any()


def test_a_drawn_seed_is_noted_and_repeats_its_layout() -> None:
    rows, notes = table(blobs(60)[0]), Notes()
    drawn = vectors(Umap(epochs=50, seed=-1).run(rows, notes.context()))
    assert (vectors(Umap(epochs=50, seed=notes["seed"]).run(rows, Context())) == drawn).all()


def test_several_layouts_stand_side_by_side_and_keep_the_mean_distance() -> None:
    rows = table(blobs(60)[0])
    three = vectors(Umap(epochs=50, layouts=3).run(rows, Context()))
    assert three.shape == (60, 15)
    one = vectors(QUICK.run(rows, Context()))
    np.testing.assert_allclose(three[:, :5] * np.sqrt(3), one, rtol=1e-5)


@given(st.integers(0, 10**6), st.integers(1, 16))
def test_larger_sets_get_fewer_layouts(rows: int, most: int) -> None:
    count = layouts_for(rows, most)
    assert 1 <= count <= most
    assert count == 1 or count * rows <= _layout.STEADY_ROWS
    assert layouts_for(rows * 2, most) <= count


def test_layouts_that_were_left_out_are_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_layout, "STEADY_ROWS", 100)
    notes = Notes()
    answer = vectors(Umap(epochs=20, layouts=4).run(table(blobs(50)[0]), notes.context()))
    assert notes["layouts"] == 2
    assert answer[:, :10].any(axis=0).all()
    assert not answer[:, 10:].any()


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_too_few_images_get_principal_components(n: int) -> None:
    notes = Notes()
    answer = vectors(QUICK.run(table(blobs(9)[0][:n]), notes.context()))
    assert answer.shape == (n, 5)
    assert "principal components" in notes["backend"]
    assert n < 2 or answer.any()


@pytest.mark.parametrize("n", [4, 5, 7, 8, 14])
def test_fewer_images_than_neighbours_have_all_as_neighbours(n: int) -> None:
    answer = vectors(QUICK.run(table(blobs(20)[0][:n]), Context()))
    assert answer.shape == (n, 5)
    assert len(np.unique(answer, axis=0)) == n


def test_images_that_are_all_alike_share_one_place() -> None:
    answer = vectors(QUICK.run(table(np.ones((20, 8))), Context()))
    assert not answer.any()


def test_two_far_groups_of_duplicates_have_a_finite_layout() -> None:
    data = np.repeat(np.eye(2, 8, dtype=np.float32), 40, axis=0)
    answer = vectors(QUICK.run(table(data), Context()))
    assert np.isfinite(answer).all()


def test_a_gpu_that_is_not_there_is_said_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    from shoal_plugins.reduce import _gpu

    monkeypatch.setattr(_gpu, "find_spec", lambda name: None)
    _gpu.reason_against_cuml.cache_clear()
    rows, notes = table(blobs(30)[0]), Notes()
    QUICK.run(rows, notes.context(gpu=True))
    assert notes["backend"] == "umap-learn (because cuML is not installed)"
    with pytest.raises(StageError, match="cuML is not installed; take backend: auto"):
        Umap(backend="cuml").run(rows, Context())
    _gpu.reason_against_cuml.cache_clear()


def test_a_broken_cuml_is_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from shoal_plugins.reduce import _gpu

    for name, text in {"cuml": "", "cupy": "raise OSError('no libcuda')"}.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    _gpu.reason_against_cuml.cache_clear()
    assert _gpu.reason_against_cuml() == "cuML failed a trial run (OSError: no libcuda)"
    _gpu.reason_against_cuml.cache_clear()
