"""The clusters of a run as vectors: which are nearest to an image that the run has not seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoal.catalogue import Run
from shoal.errors import UsageError
from shoal.pipeline.plan import plan
from shoal.vectors import unit_length
from shoal_ls.learning import Head
from shoal_ls.learning.features import embedder as embedding_step
from shoal_ls.learning.features import embeddings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from shoal.kinds import Embedder

NEAREST = 5
"""Clusters that an image is ranked among."""
TOGETHER = 20_000
"""Vectors that are held at once."""


@dataclass(frozen=True)
class Near:
    """A cluster near an image, and how near: cosine to its centroid, or the probability of a learnt head."""

    cluster: int
    score: float


@dataclass(frozen=True)
class Neighbours:
    """What ranks the clusters for a vector: a learnt head where there is one, else cosines to centroids.

    Attributes:
        embedder: the stage that makes comparable vectors.
        numbers: of the clusters.
        centroids: (number of clusters, size), each of length 1.
        head: that was learnt from decisions.
    """

    embedder: "Embedder"
    numbers: tuple[int, ...]
    centroids: "NDArray[np.float32]"
    head: Head | None = None

    @classmethod
    def of(cls, run: Run, clusters: Mapping[str, int], head: Head | None = None) -> "Neighbours":
        """Return the centroids of clusters: means of the unit-length vectors of their members.

        Raises:
            UsageError: the run's clusters were not made from an embedder's vectors, or an embedder that reads other columns.
        """
        import numpy as np

        stage = embedder(run)
        numbers = sorted({number for number in clusters.values() if number >= 0})
        sums = np.zeros((len(numbers), stage.size))
        for vectors, part in vectors_of(run, [image for image, number in clusters.items() if number >= 0]):
            places = np.searchsorted(numbers, [clusters[image] for image in part])
            np.add.at(sums, places, unit_length(vectors).astype(np.float64))
        return cls(stage, tuple(numbers), unit_length(sums.astype(np.float32)), head)

    def rank(self, vectors: "NDArray[np.float32]") -> list[tuple[Near, ...]]:
        """Return, for each vector, the likeliest clusters, the likeliest first."""
        if self.head is not None:
            return learnt(self.head, vectors)
        return _first(self.numbers, unit_length(vectors) @ self.centroids.T)


def vectors_of(run: Run, ids: Sequence[str]) -> "Iterator[tuple[NDArray[np.float32], Sequence[str]]]":
    """Yield the vectors of images and their ids, a part at a time: all of a large run need not be in memory at once."""
    for start in range(0, len(ids), TOGETHER):
        part = ids[start : start + TOGETHER]
        yield embeddings(run, part), part


def learnt(head: Head, vectors: "NDArray[np.float32]") -> list[tuple[Near, ...]]:
    """Return, for each vector, the clusters that a head finds likeliest, with their probabilities."""
    classes, shares = head.probabilities(vectors)
    return _first([int(number) for number in classes], shares)


def _first(numbers: Sequence[int], scores: "NDArray[np.float32]") -> list[tuple[Near, ...]]:
    import numpy as np

    order = np.argsort(-scores, axis=1, kind="stable")[:, :NEAREST]
    return [
        tuple(Near(numbers[place], float(row[place])) for place in places) for row, places in zip(scores, order, strict=True)
    ]


def embedder(run: Run) -> "Embedder":
    """Return the stage whose vectors the run's clusters were made from, not set up yet.

    Raises:
        UsageError: there is none, or it is no embedder of pixels alone.
    """
    from shoal.kinds import Embedder

    step = embedding_step(run).step
    stage = plan(run.pipeline).step(step).stage
    if not isinstance(stage, Embedder) or stage.pixels is None or len(stage.consumes):
        raise UsageError(
            f"step {step!r} of run {run.id} needs more than pixels, so images outside the run can't be embedded"
        )
    return stage
