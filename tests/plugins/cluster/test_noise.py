"""What becomes of noise, by both clusterers that have any."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shoal.contract import Context
from shoal_plugins.cluster._noise import adopted
from shoal_plugins.cluster.dbscan import Dbscan
from shoal_plugins.cluster.hdbscan import Hdbscan
from tests.plugins.reduce.tables import Notes, blobs, table

STAGES = [(Hdbscan, {"min_samples": 5, "selection_persistence": 0.0}), (Dbscan, {"eps": 0.7})]
BOTH = pytest.mark.parametrize(("cls", "options"), STAGES)


def with_strays() -> Any:
    """Return blobs and points far from all of them."""
    data, _ = blobs(160, spread=0.15)
    far = np.random.default_rng(3).uniform(-14, 14, size=(20, data.shape[1]))
    return np.vstack([data, far]).astype(np.float32)


@BOTH
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_nearest_leaves_none_out_and_moves_no_member(cls: Any, options: dict[str, Any], metric: str) -> None:
    rows = table(with_strays())
    if metric == "cosine" and cls is Dbscan:
        rows = table(np.abs(with_strays()))  # eps 0.5 at least: keep angles small enough for some noise
    apart = cls(**options, metric=metric).run(rows, Context())
    notes = Notes()
    near = cls(**options, metric=metric, noise="nearest").run(rows, notes.context())
    before, after = apart["cluster"].to_numpy(), near["cluster"].to_numpy()
    stray = before == -1
    assert (after >= 0).all()
    assert notes["adopted"] == stray.sum()
    assert notes["noise"] == 0
    assert len(set(zip(before[~stray].tolist(), after[~stray].tolist(), strict=True))) == len(set(before[~stray].tolist()))
    assert (near["strength"].to_numpy()[stray] == 0).all()
    assert near["strength"].to_numpy()[~stray].tolist() == apart["strength"].to_numpy()[~stray].tolist()
    assert near["outlier"].equals(apart["outlier"])
    assert (np.diff(np.bincount(after)) <= 0).all()


@BOTH
def test_there_was_noise_to_adopt(cls: Any, options: dict[str, Any]) -> None:
    assert (cls(**options).run(table(with_strays()), Context())["cluster"].to_numpy() == -1).sum() >= 15


@BOTH
def test_without_a_cluster_all_stays_noise(cls: Any, options: dict[str, Any]) -> None:
    far = table(np.eye(12) * 100)
    assert set(cls(**options, noise="nearest").run(far, Context())["cluster"].to_pylist()) == {-1}


@BOTH
def test_the_default_is_the_stage_that_it_was(cls: Any, options: dict[str, Any]) -> None:
    assert "noise" not in json.dumps(cls(**options).identity()["options"]).replace("max_noise", "").replace("noise_c", "")
    assert cls(**options, noise="nearest").identity()["options"]["noise"] == "nearest"
    assert cls(**options) != cls(**options, noise="nearest")


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(0, 12), st.booleans())
def test_it_is_the_nearest_centroid(seed: int, clusters: int, strays: int, cosine: bool) -> None:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(clusters), rng.integers(0, clusters, 10), np.full(strays, -1)])
    points = rng.normal(size=(len(labels), 4)).astype(np.float32)
    got = adopted(points, labels, cosine)
    exact = points.astype(float)
    if cosine:
        exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    centroids = {label: exact[labels == label].mean(axis=0) for label in range(clusters)}
    name = {label: int(got[np.flatnonzero(labels == label)[0]]) for label in range(clusters)}
    for row in np.flatnonzero(labels < 0):

        def away(label: int, row: int = row) -> float:
            if cosine:
                return -float(exact[row] @ centroids[label] / np.linalg.norm(centroids[label]))
            return float(np.linalg.norm(exact[row] - centroids[label]))

        best = min(away(label) for label in range(clusters))
        chosen = next(label for label in range(clusters) if name[label] == got[row])
        assert away(chosen) <= best + 1e-9


def test_samples_over_size_are_refused_on_request() -> None:
    assert Hdbscan(min_samples=9).min_cluster_size == 5
    with pytest.raises(ValidationError, match=r"min_samples \(9\) is over min_cluster_size \(5\); lower it"):
        Hdbscan(min_samples=9, samples_within_size=True)
    assert Hdbscan(min_samples=9, min_cluster_size=None, samples_within_size=True).fewest == 9
    assert Hdbscan(samples_within_size=True).identity() == Hdbscan().identity()
