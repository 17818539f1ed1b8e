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
CANDIDATES = 4
"""Centroids a noise image, on average, up to which a distance is reckoned pair by pair: more are as near as one another."""


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

    _, sizes = np.unique(clusters[clusters >= 0], return_counts=True)
    order = np.argsort(clusters, kind="stable")[len(clusters) - sizes.sum() :]
    members = np.split(order, np.cumsum(sizes)[:-1]) if len(sizes) else []
    means = [vectors[rows].mean(axis=0, dtype=np.float64) for rows in members]
    return np.asarray(means, dtype=np.float64).reshape(len(sizes), vectors.shape[1])


def _apart(vectors: "NDArray[np.float32]", centroids: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return each vector's distance to the nearest centroid; 0 where there is none.

    Matrix products tell which centroids may be the nearest, hardly ever more than one, and only to these the distance is
    reckoned. Not by the product: that gives equal vectors distances with other last bits, and they would not go by id.
    """
    import numpy as np
    from scipy.spatial.distance import cdist

    from shoal_plugins.reduce._matrix import blocks

    if not len(centroids):
        return np.zeros(len(vectors))
    nearest = np.full(len(vectors), np.inf)
    pairs = [np.empty((2, 0), dtype=np.intp)]
    for part in blocks(len(vectors), ROWS):
        rows, near = _candidates(vectors[part], centroids)
        if len(rows) > CANDIDATES * (part.stop - part.start):
            nearest[part] = cdist(vectors[part], centroids).min(axis=1)
        else:
            pairs.append(np.stack([rows + part.start, near]))
    rows, near = np.concatenate(pairs, axis=1)
    order = np.argsort(near, kind="stable")
    for same in np.split(order, np.flatnonzero(np.diff(near[order])) + 1) if len(order) else []:
        exact = cdist(vectors[rows[same]], centroids[near[same[:1]]])[:, 0]
        nearest[rows[same]] = np.minimum(nearest[rows[same]], exact)
    return nearest


def _candidates(
    vectors: "NDArray[np.float32]", centroids: "NDArray[np.float64]"
) -> "tuple[NDArray[np.intp], NDArray[np.intp]]":
    """Return the pairs of a vector and a centroid, as two arrays of places, that may be the nearest to it.

    These are the ones whose distance, by the binomial formula, is the smallest but for what rounding may add to it.
    """
    import numpy as np

    wide = vectors.astype(np.float64)
    squares = np.einsum("ij,ij->i", centroids, centroids)
    guesses = wide @ (-2 * centroids.T)
    guesses += squares  # a vector's own square is the same for all
    largest = np.einsum("ij,ij->i", wide, wide) + squares.max()
    slack = 16 * wide.shape[1] * np.finfo(np.float64).eps * largest
    rows, near = np.nonzero(guesses <= (guesses.min(axis=1) + slack)[:, None])
    return rows, near


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Noise,)
