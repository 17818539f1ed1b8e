"""`sample.noise`: the images that lie in no cluster."""

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
from pydantic import Field

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Sampler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROWS = 1024
"""Noise images whose distances to all centroids are held at once."""


class Noise(Sampler):
    """Picks the noise, the images that lie in no cluster: those nearest to some cluster first.

    For steps that look at noise: name this step in `only:`, as in `only: [sample, noise]`, and the captioner sees the
    representatives and the noise. `rank` goes by rising distance to the nearest centroid, the mean of a cluster's vectors:
    what is likeliest to belong somewhere comes first. Of two images at the same distance the one with the smaller id
    comes first; where there is no cluster, all go by id. A set without noise has no row.
    """

    name: ClassVar[str] = "noise"
    shorthand: ClassVar[str | None] = "most"

    most: int = Field(0, ge=0, le=10_000_000, description="Images picked at most; 0 picks all noise.")

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the noise images and their ranks."""
        import numpy as np

        from shoal_plugins.reduce._matrix import matrix

        vectors, clusters = matrix(rows), rows["cluster"].to_numpy()
        noise = np.flatnonzero(clusters < 0)
        order = _apart(vectors[noise], _centroids(vectors, clusters)).argsort(kind="stable")
        picked = order[: self.most or len(order)]
        ranks = np.full(len(noise), -1, dtype=np.int32)
        ranks[picked] = np.arange(len(picked), dtype=np.int32)
        chosen = ranks >= 0
        return pa.table(
            [rows["id"].take(pa.array(noise[chosen])), pa.array(ranks[chosen], pa.int32())],
            schema=pa.schema([rows.schema.field("id"), *self.produces()]),
        )


def _centroids(vectors: "NDArray[np.float32]", clusters: "NDArray[np.int32]") -> "NDArray[np.float64]":
    """Return the mean of each cluster's vectors, shape (clusters, components)."""
    import numpy as np

    numbers = np.unique(clusters[clusters >= 0])
    means = [vectors[clusters == number].mean(axis=0, dtype=np.float64) for number in numbers]
    return np.asarray(means, dtype=np.float64).reshape(len(numbers), vectors.shape[1])


def _apart(vectors: "NDArray[np.float32]", centroids: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return each vector's distance to the nearest centroid; 0 where there is none.

    Not by a matrix product: that gives equal vectors distances with other last bits, and they would not go by id.
    """
    import numpy as np
    from scipy.spatial.distance import cdist

    nearest = np.zeros(len(vectors))
    if len(centroids):
        for start in range(0, len(vectors), ROWS):
            nearest[start : start + ROWS] = cdist(vectors[start : start + ROWS], centroids).min(axis=1)
    return nearest


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Noise,)
