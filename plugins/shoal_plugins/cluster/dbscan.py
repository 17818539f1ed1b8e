"""`cluster.dbscan`: clusters of one density, with the noise under control."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal_plugins.cluster._noise import WithNoise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Dbscan(WithNoise):
    """Joins images that lie within `eps` of each other in dense places; the rest is noise (-1).

    Take it for small sets, or where the share of noise must be bounded: `noise_control` takes the smallest `eps` that
    leaves at most `max_noise_ratio` of the images as noise. That distance is computed, not searched for: an image stops
    being noise at the smallest of max(distance to a neighbour, that neighbour's core distance), so one sorted list of
    those gives it exactly; the record names it (`eps`).

    `strength` is 1 for the core of a cluster and eps / core distance at its border; `outlier` is 1 - eps / core distance,
    0 for the core. The core distance of an image is that to its `min_samples`-th neighbour, itself counted.
    `noise: nearest` sends each noise image to the cluster whose centroid (mean of the members that were found) is nearest;
    it keeps `strength` 0 and its `outlier`. `max_noise_ratio` bounds the noise before that.
    Fewer images than `min_samples` are all noise with `fixed_eps`; `noise_control` lowers `min_samples` to their number
    then, so that its bound holds for every set. Images that are all alike are one cluster if there are `min_samples`.
    Memory grows with the number of pairs within `eps`: take `cluster.hdbscan` for large sets.

    Source: M. Ester, H.-P. Kriegel, J. Sander, X. Xu, KDD 1996; computed by scikit-learn.
    """

    name: ClassVar[str] = "dbscan"
    shorthand: ClassVar[str | None] = "eps"

    mode: Literal["fixed_eps", "noise_control"] = Field(
        "fixed_eps", description="Take `eps` as it is, or the smallest one that keeps to `max_noise_ratio`."
    )
    eps: float = Field(0.5, ge=0.5, le=1.5, description="Distance within which images are neighbours (mode fixed_eps).")
    max_noise_ratio: float = Field(0.2, ge=0.0, le=1.0, description="Largest share of noise (mode noise_control).")
    min_samples: int = Field(5, ge=2, le=30, description="Images within `eps`, itself counted, that make a core.")
    metric: Literal["euclidean", "cosine"] = Field(
        "euclidean", description="Distance; cosine is 1 minus the cosine, 0 to 2."
    )
    algorithm: Literal["auto", "ball_tree", "kd_tree", "brute"] = Field(
        "auto", description="How neighbours are found; the answer is the same."
    )

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the clusters."""
        import numpy as np

        from shoal_plugins.cluster._labels import NOISE, clusters_table, note_result, one_answer
        from shoal_plugins.reduce._matrix import matrix, unit_rows

        vectors = matrix(rows)
        context.note("backend", "scikit-learn")
        n = len(vectors)
        least = min(self.min_samples, n) if self.mode == "noise_control" else self.min_samples
        if n < max(1, least):
            return note_result(one_answer(rows, NOISE, self.produces()), context.note)
        points = (unit_rows(vectors) if self.metric == "cosine" else vectors).astype(np.float64)
        core, reach = self._reach(points, least, context)
        if self.mode == "noise_control":
            chord = _quietest(reach, self.max_noise_ratio, float(np.abs(points).max(initial=0)))
        else:
            chord = float(np.sqrt(2 * self.eps)) if self.metric == "cosine" else self.eps
        context.note("eps", chord**2 / 2 if self.metric == "cosine" else chord)
        labels = self._fit(points, chord, least, context)
        nearness = chord / np.maximum(core, chord)
        strength = nearness**2 if self.metric == "cosine" else nearness
        inside = np.where(labels == NOISE, 0, strength)
        labels = self.settle(vectors, labels, self.metric == "cosine", context)
        return note_result(clusters_table(rows, labels, inside, 1 - strength, self.produces()), context.note)

    def _reach(
        self, points: "NDArray[np.float64]", least: int, context: Context
    ) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
        """Return each row's core distance, and the smallest eps at which it is no noise."""
        import numpy as np
        from sklearn.neighbors import NearestNeighbors

        search = NearestNeighbors(n_neighbors=min(least, len(points)), algorithm=self.algorithm, n_jobs=context.threads)
        distances, indices = search.fit(points).kneighbors(points)
        core = distances[:, -1]
        if len(points) < least:
            core = np.full(len(points), np.inf)
        return core, np.minimum(core, np.maximum(distances, core[indices]).min(axis=1))

    def _fit(self, points: "NDArray[np.float64]", eps: float, least: int, context: Context) -> "NDArray[Any]":
        import numpy as np
        from sklearn.cluster import DBSCAN

        model = DBSCAN(eps=eps, min_samples=least, algorithm=self.algorithm, n_jobs=context.threads)
        return np.asarray(model.fit(points).labels_)


def _quietest(reach: "NDArray[np.float64]", ratio: float, largest: float) -> float:
    """Return the smallest eps that leaves at most `ratio` of the rows as noise.

    Args:
        reach: for each row the smallest eps at which it is no noise.
        ratio: largest share of noise.
        largest: largest component of a vector, for the size of rounding errors.
    """
    import numpy as np

    quiet = int(np.floor(ratio * len(reach) + 1e-9))
    needed = float(np.sort(reach)[max(0, len(reach) - quiet - 1)])
    return needed * (1 + 1e-6) + 1e-6 * max(largest, 1e-30)


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Dbscan,)
