"""What becomes of noise: the option that the clusterers with noise share."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from shoal.contract import Context
from shoal.kinds import Clusterer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from shoal_plugins.reduce._matrix import Matrix


class WithNoise(Clusterer):
    """A clusterer that leaves images out. Not a stage by itself.

    Adopted images keep `strength` 0 and the `outlier` that they were found with: who wants the members that were found
    takes those with a strength above 0.
    """

    noise: Literal["separate", "nearest"] = Field(
        "separate",
        description="separate: noise is cluster -1; nearest: each goes to the cluster with the nearest centroid, with "
        "`strength` 0.",
    )

    def identity(self) -> dict[str, Any]:
        """Return the options; `noise: separate` is left out: answers from before there was a choice are the same."""
        identity = super().identity()
        if self.noise == "separate":
            del identity["options"]["noise"]
        return identity

    def settle(self, vectors: "Matrix", labels: "NDArray[Any]", cosine: bool, context: Context) -> "NDArray[Any]":
        """Return the labels as `noise` says, and note how many images were adopted.

        Args:
            vectors: what was clustered, shape (n, size).
            labels: of each row; below 0 is noise.
            cosine: whether nearness is the angle, instead of the Euclidean distance.
            context: for the note.
        """
        if self.noise == "separate":
            return labels
        settled = adopted(vectors, labels, cosine)
        context.note("adopted", int(((labels < 0) & (settled >= 0)).sum()))
        return settled


def adopted(vectors: "Matrix", labels: "NDArray[Any]", cosine: bool = False) -> "NDArray[Any]":
    """Return labels in which noise has gone to the nearest centroid; ties go to the larger cluster.

    Centroids are means of the members that were found; with `cosine` both sides are divided by their L2 norm. Where there
    is no cluster everything stays noise.
    """
    import numpy as np

    from shoal_plugins.cluster._labels import NOISE, by_size
    from shoal_plugins.reduce._matrix import blocks

    numbers = by_size(labels)
    noise = np.flatnonzero(numbers == NOISE)
    if not len(noise) or len(noise) == len(numbers):
        return numbers
    points = vectors.astype(np.float64)
    centroids = means(_unit(points) if cosine else points, numbers)
    if cosine:
        points, centroids = _unit(points), _unit(centroids)
    half_squares = np.einsum("ij,ij->i", centroids, centroids) / 2
    for part in blocks(len(noise)):
        rows = noise[part]
        numbers[rows] = np.argmin(half_squares - points[rows] @ centroids.T, axis=1)  # half the square, less the row's own
    return numbers


def means(points: "NDArray[np.float64]", numbers: "NDArray[np.int32]") -> "NDArray[np.float64]":
    """Return the mean of each cluster's members, shape (clusters, size); numbers have no gap, noise is below 0."""
    import numpy as np

    members = np.flatnonzero(numbers >= 0)
    order = members[np.argsort(numbers[members], kind="stable")]
    sizes = np.bincount(numbers[members])
    sums = np.add.reduceat(points[order], np.concatenate([[0], np.cumsum(sizes)[:-1]]), axis=0)
    return np.asarray(sums / sizes[:, None])


def _unit(points: "NDArray[np.float64]") -> "NDArray[np.float64]":
    import numpy as np

    norms = np.linalg.norm(points, axis=1, keepdims=True)
    return np.asarray(points / np.where(norms > 0, norms, 1))
