"""HDBSCAN by the libraries that have it, brought to one meaning of the options.

hdbscan, fast_hdbscan and cuML count the neighbours of `min_samples` without the point itself, scikit-learn with it.
"""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.errors import StageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal_plugins.cluster.hdbscan import Hdbscan
    from shoal_plugins.reduce._matrix import Matrix

    Answer = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


def fit(backend: str, vectors: "Matrix", options: "Hdbscan") -> "Answer":
    """Return labels, strengths and outlier scores of the rows of `vectors`.

    Raises:
        StageError: the library of `backend` is not installed.
    """
    fits = {"hdbscan": _hdbscan, "fast_hdbscan": _fast_hdbscan, "sklearn": _sklearn, "cuml": _cuml}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations among these libraries, divisions by distance 0
            return fits[backend](vectors, options)
    except ImportError as error:
        raise StageError(f"{options.title()}: backend {backend} is not installed ({error}); take backend: auto") from error


def _hdbscan(vectors: "Matrix", options: "Hdbscan") -> "Answer":
    from hdbscan import HDBSCAN

    def model(persistence: float) -> Any:
        return HDBSCAN(
            min_cluster_size=options.fewest, min_samples=options.min_samples, alpha=options.alpha,
            cluster_selection_method=options.selection_method, cluster_selection_epsilon=options.selection_epsilon,
            cluster_selection_persistence=persistence, core_dist_n_jobs=1,
        ).fit(vectors.astype(np.float64))  # fmt: skip

    try:
        fitted = model(options.selection_persistence)
    except IndexError:  # hdbscan 0.8.44 can't simplify a tree without any split; there is nothing to merge in it
        fitted = model(0.0)
    return fitted.labels_, fitted.probabilities_, fitted.outlier_scores_


def _fast_hdbscan(vectors: "Matrix", options: "Hdbscan") -> "Answer":
    from fast_hdbscan import HDBSCAN

    fitted = HDBSCAN(
        min_cluster_size=options.fewest, min_samples=_within(vectors, options.min_samples), reproducible=True,
        cluster_selection_method=options.selection_method, cluster_selection_epsilon=options.selection_epsilon,
        cluster_selection_persistence=options.selection_persistence,
    ).fit(vectors)  # fmt: skip
    return fitted.labels_, fitted.probabilities_, 1 - fitted.probabilities_


def _sklearn(vectors: "Matrix", options: "Hdbscan") -> "Answer":
    from sklearn.cluster import HDBSCAN

    fitted = HDBSCAN(
        min_cluster_size=options.fewest, min_samples=_within(vectors, options.min_samples) + 1, alpha=options.alpha,
        cluster_selection_method=options.selection_method, cluster_selection_epsilon=options.selection_epsilon, copy=True,
    ).fit(vectors.astype(np.float64))  # fmt: skip
    return fitted.labels_, fitted.probabilities_, 1 - fitted.probabilities_


def _cuml(vectors: "Matrix", options: "Hdbscan") -> "Answer":
    from cuml.cluster import HDBSCAN

    fitted = HDBSCAN(
        min_cluster_size=options.fewest, min_samples=_within(vectors, options.min_samples), alpha=options.alpha,
        cluster_selection_method=options.selection_method, cluster_selection_epsilon=options.selection_epsilon,
        output_type="numpy",
    ).fit(vectors)  # fmt: skip
    strength = np.asarray(fitted.probabilities_)
    return np.asarray(fitted.labels_), strength, 1 - strength


def _within(vectors: "Matrix", min_samples: int) -> int:
    """Return `min_samples`, or what a smaller set has."""
    return max(1, min(min_samples, len(vectors) - 1))
