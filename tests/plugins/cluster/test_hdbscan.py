import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import adjusted_rand_score

from shoal.contract import Context
from shoal.errors import StageError
from shoal.testing import check_stage
from shoal_plugins.cluster import _hdbscan_backends
from shoal_plugins.cluster.hdbscan import Hdbscan
from tests.plugins.reduce.tables import Notes, blobs, table

PLAIN = {"selection_persistence": 0.0, "selection_method": "eom"}


@pytest.mark.parametrize(
    "stage",
    [
        Hdbscan(),
        Hdbscan(**PLAIN, backend="sklearn"),
        Hdbscan(metric="cosine", selection_epsilon=0.1),
        Hdbscan(min_cluster_size=None),
    ],
)
def test_it_keeps_the_contract(stage: Hdbscan) -> None:
    check_stage(stage)


def test_groups_are_found_and_numbered_by_falling_size() -> None:
    data, group = blobs(300)
    answer = Hdbscan(**PLAIN, min_samples=5).run(table(data), Context())
    clusters = answer["cluster"].to_numpy()
    assert adjusted_rand_score(group, clusters) > 0.98
    sizes = np.bincount(clusters[clusters >= 0])
    assert (np.diff(sizes) <= 0).all()


def test_noise_has_no_strength_and_lies_farther_off() -> None:
    data, _ = blobs(200)
    far = np.random.default_rng(1).uniform(-60, 60, size=(12, 8))
    answer = Hdbscan(**PLAIN, min_samples=5).run(table(np.vstack([data, far])), Context())
    clusters, strength = answer["cluster"].to_numpy(), answer["strength"].to_numpy()
    outlier = answer["outlier"].to_numpy()
    assert (clusters[200:] == -1).all()
    assert (strength[clusters == -1] == 0).all()
    assert (strength[clusters >= 0] > 0).all()
    assert outlier[200:].min() > np.median(outlier[:200])


@pytest.mark.parametrize("method", ["eom", "leaf"])
@pytest.mark.parametrize("size", [None, 5, 12])
@pytest.mark.parametrize("epsilon", [0.0, 0.5])
def test_scikit_learn_gives_the_same_clusters(method: str, size: int | None, epsilon: float) -> None:
    data, _ = blobs(250, spread=0.9)
    options = {"selection_method": method, "min_cluster_size": size, "min_samples": 6, "selection_epsilon": epsilon}
    answers = [
        Hdbscan(selection_persistence=0.0, backend=backend, **options).run(table(data), Context())["cluster"].to_pylist()
        for backend in ("hdbscan", "sklearn")
    ]
    assert answers[0] == answers[1]


@pytest.mark.slow
@pytest.mark.parametrize("persistence", [0.0, 0.4])
def test_fast_hdbscan_gives_the_same_clusters(persistence: float) -> None:
    pytest.importorskip("fast_hdbscan")
    data, _ = blobs(250, spread=0.9)
    answers = [
        Hdbscan(selection_persistence=persistence, selection_method="eom", min_samples=6, backend=backend)
        .run(table(data), Context())["cluster"]
        .to_pylist()
        for backend in ("hdbscan", "fast_hdbscan")
    ]
    assert adjusted_rand_score(*answers) > 0.95


def test_persistence_merges_what_hardly_parts() -> None:
    data, _ = blobs(300, groups=3, spread=0.1, size=2)
    counts = [
        max(Hdbscan(selection_persistence=value).run(table(data), Context())["cluster"].to_pylist()) + 1
        for value in (0.0, 0.4, 1.0)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 3


def test_a_set_without_a_split_is_all_noise_with_any_persistence() -> None:
    data = np.arange(12, dtype=np.float32)[:, None] ** 2
    for persistence in (0.0, 0.4):
        answer = Hdbscan(selection_persistence=persistence, min_cluster_size=7).run(table(data), Context())
        assert answer["cluster"].to_pylist() == [-1] * 12


@pytest.mark.parametrize("n", [0, 1, 3, 4])
def test_fewer_images_than_a_cluster_needs_are_all_noise(n: int) -> None:
    answer = Hdbscan().run(table(blobs(9)[0][:n]), Context())
    assert answer["cluster"].to_pylist() == [-1] * n
    assert answer["strength"].to_pylist() == [0.0] * n


def test_images_that_are_all_alike_are_one_cluster() -> None:
    answer = Hdbscan().run(table(np.ones((7, 3))), Context())
    assert answer["cluster"].to_pylist() == [0] * 7
    assert answer["strength"].to_pylist() == [1.0] * 7
    assert answer["outlier"].to_pylist() == [0.0] * 7


def test_groups_of_duplicates_have_finite_scores() -> None:
    answer = Hdbscan(**PLAIN).run(table(np.repeat(np.eye(3), 10, axis=0)), Context())
    assert sorted(np.bincount(answer["cluster"].to_numpy())) == [10, 10, 10]
    assert np.isfinite(answer["strength"].to_numpy()).all()
    assert np.isfinite(answer["outlier"].to_numpy()).all()


def test_a_permutation_of_images_permutes_the_answer() -> None:
    data, _ = blobs(200)
    order = np.random.default_rng(3).permutation(200)
    first, second = (
        Hdbscan(**PLAIN, min_samples=5).run(table(rows), Context())["cluster"].to_numpy() for rows in (data, data[order])
    )
    assert adjusted_rand_score(first[order], second) == 1.0


def test_cosine_looks_at_directions_only() -> None:
    data, group = blobs(200, spread=0.1)
    lengths = np.random.default_rng(2).uniform(0.1, 10, size=(200, 1))
    answer = Hdbscan(**PLAIN, metric="cosine", min_samples=5).run(table(data * lengths), Context())
    assert adjusted_rand_score(group, answer["cluster"].to_numpy()) > 0.98


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"backend": "sklearn"}, "sklearn has no selection_persistence; .* set selection_persistence to 0"),
        ({"backend": "cuml"}, "cuml has no selection_persistence"),
        ({"backend": "fast_hdbscan", "alpha": 2.0}, "fast_hdbscan has no alpha; .* set alpha to 1"),
        ({"backend": "cuml", "selection_persistence": 0.0}, "can't be used, because cuML .*; take backend: auto"),
    ],
)
def test_a_backend_that_lacks_an_option_is_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(StageError, match=sentence):
        Hdbscan(**options).run(table(blobs(30)[0]), Context())


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fast_hdbscan", None)
    with pytest.raises(StageError, match="fast_hdbscan is not installed"):
        _hdbscan_backends.fit("fast_hdbscan", blobs(30)[0], Hdbscan())


def test_the_record_names_backend_clusters_and_noise() -> None:
    notes = Notes()
    Hdbscan(**PLAIN).run(table(blobs(200)[0]), notes.context(gpu=True))
    assert notes["backend"].startswith("hdbscan (because ")
    assert notes["clusters"] >= 4
    assert 0 <= notes["noise"] < 0.2


@pytest.mark.parametrize(
    "options", [{"min_cluster_size": 1}, {"min_samples": 1}, {"selection_epsilon": 0.6}, {"alpha": 0}, {"backend": "gpu"}]
)
def test_options_out_of_bounds_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Hdbscan(**options)
