"""`cluster.kmeans`: a given number of round clusters, no noise."""

import warnings
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from pydantic import Field

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Clusterer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from shoal_plugins.reduce._matrix import Matrix

JUDGED_ROWS = 2000
"""Rows on which a number of clusters is judged."""


class Kmeans(Clusterer):
    """Divides the images into `k` round clusters of like width; every image belongs to one, there is no noise.

    Take it where the number of groups is known, or where each image must land somewhere. With `k: null` every number
    from 2 to `max_k` is tried, and the one with the best mean silhouette (on up to 2,000 images drawn by `seed`) is
    taken. `strength` is 1 - distance to the own centroid / distance to the next one: 1 in the middle, 0 on the border.
    `outlier` is 1 - median distance in the cluster / distance of the image, 0 for the nearer half of its members.

    Fewer different images than `k` make as many clusters as there are different ones; one image is a cluster of its own.

    Source: S. Lloyd, IEEE Transactions on Information Theory 28, 1982; silhouette: P. Rousseeuw, 1987; computed by
    scikit-learn.
    """

    name: ClassVar[str] = "kmeans"
    shorthand: ClassVar[str | None] = "k"

    k: int | None = Field(None, ge=1, le=100_000, description="Number of clusters; null chooses it.")
    max_k: int = Field(20, ge=2, le=1000, description="Largest number tried with `k: null`.")
    starts: int = Field(4, ge=1, le=100, description="Starts of which the best is kept.")
    max_rounds: int = Field(300, ge=1, le=10_000, description="Most rounds of a start.")
    seed: int = Field(42, ge=-1, lt=2**31, description="Seed of the starts; -1 draws one.")

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the clusters."""
        from shoal_plugins.cluster._labels import clusters_table, note_result, one_answer
        from shoal_plugins.reduce._layout import draw_seed
        from shoal_plugins.reduce._matrix import all_alike, matrix

        vectors = matrix(rows)
        context.note("backend", "scikit-learn")
        if len(vectors) < 2 or all_alike(vectors):
            return note_result(one_answer(rows, 0, self.produces()), context.note)
        from threadpoolctl import threadpool_limits

        seed = draw_seed(self.seed)
        context.note("seed", seed)
        with threadpool_limits(limits=1, user_api="openmp"):  # threads would add up in the order in which they end
            labels, apart = self._fit(vectors, self.k or self._choose(vectors, seed), seed)
        strength, outlier = _nearness(labels, apart)
        return note_result(clusters_table(rows, labels, strength, outlier, self.produces()), context.note)

    def _fit(self, vectors: "Matrix", k: int, seed: int) -> "tuple[NDArray[Any], NDArray[np.float32]]":
        """Return the labels, and the distances to every centroid, shape (n, k)."""
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

        model = KMeans(n_clusters=min(k, len(vectors)), n_init=self.starts, max_iter=self.max_rounds, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than k: documented
            apart = model.fit_transform(vectors)
        return model.labels_, apart

    def _choose(self, vectors: "Matrix", seed: int) -> int:
        import numpy as np
        from sklearn.metrics import silhouette_score

        drawn = np.random.default_rng(seed).permutation(len(vectors))[:JUDGED_ROWS]
        sample = vectors[np.sort(drawn)]
        best, best_score = 1, 0.0
        for k in range(2, min(self.max_k, len(sample) - 1) + 1):
            labels, _ = self._fit(sample, k, seed)
            different = len(np.unique(labels))
            if different < k:
                break
            score = float(silhouette_score(sample, labels))
            if score > best_score:
                best, best_score = k, score
        return best


def _nearness(labels: "NDArray[Any]", apart: "NDArray[np.float32]") -> "tuple[NDArray[Any], NDArray[Any]]":
    """Return strength and outlier from the distances to all centroids."""
    import numpy as np

    own = np.take_along_axis(apart, labels[:, None].astype(np.intp), axis=1)[:, 0].astype(np.float64)
    if apart.shape[1] > 1:
        other = apart.astype(np.float64)
        np.put_along_axis(other, labels[:, None].astype(np.intp), np.inf, axis=1)
        nearest = other.min(axis=1)
        strength = 1 - np.divide(own, nearest, out=np.zeros_like(own), where=nearest > 0)
    else:
        strength = np.ones_like(own)
    outlier = np.zeros_like(own)
    for label in np.unique(labels):
        members = labels == label
        middle = np.median(own[members])
        outlier[members] = 1 - middle / np.maximum(np.maximum(own[members], middle), np.finfo(float).tiny)
    return strength, outlier if own.any() else np.zeros_like(own)


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Kmeans,)
