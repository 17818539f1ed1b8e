"""`evaluate.purity` against plain implementations, and where there is little to evaluate."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import silhouette_samples, silhouette_score

from shoal.contract import Context
from shoal.errors import StageError
from shoal_plugins.evaluate import _graph
from shoal_plugins.evaluate.purity import MATRIX, REPORT, Purity
from tests.plugins.reduce.tables import Notes, blobs, table

LABELS = st.lists(st.integers(-1, 4), min_size=3, max_size=40)


def naive_neighbours(points: Any, k: int) -> Any:
    cosine = points.astype(float) @ points.astype(float).T
    np.fill_diagonal(cosine, -np.inf)
    return np.argsort(-cosine, axis=1)[:, :k]


def naive_modularity(found: Any, labels: Any) -> float:
    edges = {tuple(sorted((row, int(other)))) for row, near in enumerate(found) for other in near}
    total = 0.0
    for cluster in {label for label in labels if label >= 0}:
        within = sum(labels[a] == labels[b] == cluster for a, b in edges)
        ends = sum((labels[a] == cluster) + (labels[b] == cluster) for a, b in edges)
        total += within / len(edges) - (ends / (2 * len(edges))) ** 2
    return total


def naive_cross(found: Any, labels: Any, cluster: int) -> float:
    others = labels.count(cluster) - 1
    near = [other for row, own in enumerate(found) if labels[row] == cluster for other in own[:others]]
    counted = [labels[other] for other in near if labels[other] >= 0]
    return sum(theirs != cluster for theirs in counted) / max(1, len(counted))


def measured(data: Any, labels: Any, folder: Path | None = None, **options: Any) -> tuple[Notes, list[dict[str, Any]]]:
    notes = Notes()
    answer = Purity(**options).run(table(data, labels), notes.context(folder=folder))
    json.dumps(notes, allow_nan=False)
    return notes, answer.to_pylist()


@settings(deadline=None, max_examples=80)
@given(LABELS, st.integers(1, 12), st.integers(0, 2**31))
def test_neighbours_are_counted_as_a_plain_count_does(labels: list[int], k: int, seed: int) -> None:
    data = np.random.default_rng(seed).normal(size=(len(labels), 5)).astype(np.float32)
    notes, rows = measured(data, labels, neighbors=k)
    found = naive_neighbours(data / np.linalg.norm(data, axis=1, keepdims=True), min(k, len(labels) - 1))
    clusters = sorted({label for label in labels if label >= 0})
    expected = naive_modularity(found, labels) if clusters else 0.0
    assert notes["metrics"]["modularity"] == pytest.approx(expected, abs=1e-12)
    assert [row["cross_ratio"] for row in rows] == pytest.approx([naive_cross(found, labels, c) for c in clusters], abs=1e-6)
    if clusters:
        worst = max(naive_cross(found, labels, c) for c in clusters)
        assert notes["metrics"]["max_nn_cross_ratio"] == pytest.approx(worst)


@settings(deadline=None, max_examples=60)
@given(LABELS, st.permutations(range(5)), st.integers(0, 2**31))
def test_names_of_clusters_change_nothing(labels: list[int], renamed: list[int], seed: int) -> None:
    data = np.random.default_rng(seed).normal(size=(len(labels), 5)).astype(np.float32)
    other = [-1 if label < 0 else renamed[label] for label in labels]
    (first, rows), (second, again) = measured(data, labels), measured(data, other)
    assert first["metrics"] == pytest.approx(second["metrics"], abs=1e-9)
    assert first["verdict"] == second["verdict"]
    by_name = {row["cluster"]: row for row in again}
    for row in rows:
        twin = by_name[renamed[row["cluster"]]]
        assert row["size"] == twin["size"]
        assert row["silhouette"] == pytest.approx(twin["silhouette"], abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=6, max_size=40), st.integers(0, 2**31))
def test_silhouettes_are_those_of_scikit_learn(labels: list[int], seed: int) -> None:
    if not 2 <= len(set(labels)) < len(labels):
        return
    data = np.random.default_rng(seed).normal(size=(len(labels), 4)).astype(np.float32)
    notes, rows = measured(data, labels)
    exact = silhouette_samples(data.astype(float), labels, metric="cosine")
    assert notes["metrics"]["silhouette"] == pytest.approx(exact.mean(), abs=1e-5)
    for row in rows:
        assert row["silhouette"] == pytest.approx(exact[np.array(labels) == row["cluster"]].mean(), abs=1e-5)


def test_a_clean_cluster_smaller_than_the_neighbours_asked_for_is_clean() -> None:
    data = np.repeat(np.eye(3), [4, 30, 1], axis=0) + np.random.default_rng(0).normal(scale=0.01, size=(35, 3))
    notes, rows = measured(data, [1] * 4 + [0] * 30 + [2])
    assert [row["cross_ratio"] for row in rows] == [0, 0, 0]
    assert notes["verdict"] == "PASS"


def test_clean_clusters_pass_and_mixed_ones_fail(tmp_path: Path) -> None:
    data, group = blobs(300, spread=0.5)
    notes, rows = measured(data, group, tmp_path)
    assert (notes["verdict"], notes["reason"]) == ("PASS", "All 3 figures keep to their thresholds.")
    assert notes["metrics"]["modularity"] > 0.5
    kept = json.loads((tmp_path / REPORT).read_text())
    assert kept["metrics"] == notes["metrics"]
    assert kept["clusters"] == rows
    whole = np.load(tmp_path / MATRIX)
    assert whole.shape == (4, 4)
    assert np.allclose(whole, whole.T, atol=1e-6)
    assert np.allclose(np.diag(whole), 1)
    off = whole - 2 * np.eye(4)
    assert off.max() == pytest.approx(notes["metrics"]["max_centroid_cosine"], abs=1e-6)
    assert [row["nearest_cluster"] for row in rows] == off.argmax(axis=1).tolist()
    mixed, rows = measured(data, np.random.default_rng(1).integers(0, 4, 300) * 3)
    assert mixed["verdict"] == "FAIL"
    one, other = sorted(rows, key=lambda row: -row["nearest_cosine"])[:2]
    pair = f"clusters {one['cluster']} and {one['nearest_cluster']}"
    assert one["nearest_cluster"] == other["cluster"]
    assert mixed["reason"].startswith(f"The cosine of the two closest centroids ({pair}) is 0.9")
    assert "the silhouette is -0.0" in mixed["reason"]
    worst = max(rows, key=lambda row: row["cross_ratio"])["cluster"]
    assert f"the share of foreign neighbours in the most mixed cluster ({worst}) is 0." in mixed["reason"]
    assert mixed["metrics"]["modularity"] < 0.05


def test_a_threshold_of_null_judges_nothing() -> None:
    data, _ = blobs(100)
    labels = np.random.default_rng(1).integers(0, 4, 100)
    notes, _ = measured(data, labels, max_centroid_cosine=None, min_silhouette=None, max_nn_cross_ratio=None)
    assert (notes["verdict"], notes["thresholds"]) == ("PASS", {})


@pytest.mark.parametrize(
    ("labels", "reason", "figures"),
    [
        ([-1] * 6, "There is no cluster.", {"clusters", "noise", "largest", "modularity"}),
        ([0] * 6, "There is only one cluster.", {"clusters", "noise", "largest", "modularity", "max_nn_cross_ratio"}),
        ([], "There is no cluster.", {"clusters", "noise", "largest", "modularity"}),
    ],
)
def test_fewer_than_two_clusters_fail(labels: list[int], reason: str, figures: set[str], tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(len(labels), 4))
    notes, rows = measured(data, labels, tmp_path)
    assert (notes["verdict"], notes["reason"]) == ("FAIL", reason)
    assert set(notes["metrics"]) == figures
    assert len(rows) == len(set(labels) - {-1})
    assert np.load(tmp_path / MATRIX).shape == (len(rows), len(rows))


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_identical_images_have_defined_figures(value: float) -> None:
    notes, rows = measured(np.full((40, 6), value), [0] * 20 + [1] * 15 + [-1] * 5)
    assert notes["verdict"] == "FAIL"
    assert notes["metrics"]["silhouette"] == 0
    assert all(row["silhouette"] == 0 for row in rows)


def test_a_sample_says_its_size_and_is_near_the_whole() -> None:
    data, group = blobs(2000, spread=2.0)
    notes, _ = measured(data, group, sample=500)
    assert notes["silhouette_images"] == 500
    whole = silhouette_score(data.astype(float), group, metric="cosine")
    assert notes["metrics"]["silhouette"] == pytest.approx(whole, abs=0.05)
    assert notes["metrics"] == measured(data, group, sample=500)[0]["metrics"]


def test_the_approximate_search_says_so_and_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    data, group = blobs(3000, spread=2.0)
    exact, _ = measured(data, group)
    monkeypatch.setattr(_graph, "EXACT_ROWS", 1000)
    near, _ = measured(data, group)
    assert (exact["backend"], near["backend"]) == ("faiss, exact", "faiss, approximate")
    assert near["metrics"] == pytest.approx(exact["metrics"], abs=0.01)


def test_cuml_that_is_not_there_is_a_clear_error() -> None:
    pytest.importorskip("faiss")
    data, group = blobs(50)
    with pytest.raises(StageError, match="because cuML is not installed; take backend: auto"):
        Purity(backend="cuml").run(table(data, group), Context())
    notes = Notes()
    Purity().run(table(data, group), notes.context(gpu=True))
    assert notes["backend"] == "faiss, exact (because cuML is not installed)"
