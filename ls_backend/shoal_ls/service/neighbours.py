"""The clusters of a run as vectors: which are nearest to an image that the run has not seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoal.catalogue import Run
from shoal.errors import UsageError
from shoal.pipeline.plan import plan
from shoal.records import clustering
from shoal.vectors import to_numpy, unit_length

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from shoal.kinds import Embedder

NEAREST = 5
"""Clusters that an image is ranked among."""


@dataclass(frozen=True)
class Near:
    """A cluster near an image, and how near: cosine to its centroid, or the probability of a learnt head."""

    cluster: int
    score: float


@dataclass(frozen=True)
class Neighbours:
    """Centroids of clusters.

    Attributes:
        embedder: the stage that makes vectors comparable to them.
        numbers: of the clusters.
        centroids: (number of clusters, size), each of length 1.
    """

    embedder: "Embedder"
    numbers: tuple[int, ...]
    centroids: "NDArray[np.float32]"

    @classmethod
    def of(cls, run: Run, clusters: Mapping[str, int]) -> "Neighbours":
        """Return the centroids of clusters: means of the unit-length vectors of their members.

        Raises:
            UsageError: the run's clusters were not made from an embedder's vectors, or an embedder that reads other columns.
        """
        import numpy as np

        step = embedding_step(run)
        stage = embedder(run, step)
        table = run.table(step)
        vectors = unit_length(to_numpy(table["embedding"]))
        members = np.array([clusters.get(image, -1) for image in table["id"].to_pylist()], dtype=np.int64)
        numbers = sorted({int(number) for number in members if number >= 0})
        means = [vectors[members == number].mean(axis=0, dtype=np.float64) for number in numbers]
        centroids = np.array(means, dtype=np.float32).reshape(len(numbers), vectors.shape[1])
        return cls(stage, tuple(numbers), unit_length(centroids))

    def rank(self, vectors: "NDArray[np.float32]") -> list[tuple[Near, ...]]:
        """Return, for each vector, the nearest clusters, the nearest first."""
        import numpy as np

        likeness = unit_length(vectors) @ self.centroids.T
        order = np.argsort(-likeness, axis=1, kind="stable")[:, :NEAREST]
        return [
            tuple(Near(self.numbers[place], float(row[place])) for place in places)
            for row, places in zip(likeness, order, strict=True)
        ]


def embedding_step(run: Run) -> str:
    """Return the name of the embed step whose vectors, reduced or not, the run's clusters were made from.

    Raises:
        UsageError: there is none.
    """
    step = run.record.step(clustering(run.record) or "")
    while step is not None and not step.stage.startswith("embed."):
        step = run.record.step(step.sources.get("embedding", ""))
    if step is None:
        raise UsageError(f"the clusters of run {run.id} were not made from an embedder's vectors")
    return step.step


def embedder(run: Run, step: str) -> "Embedder":
    """Return the stage of an embed step, not set up yet.

    Raises:
        UsageError: it is no embedder of pixels alone.
    """
    from shoal.kinds import Embedder

    stage = plan(run.pipeline).step(step).stage
    if not isinstance(stage, Embedder) or stage.pixels is None or len(stage.consumes):
        raise UsageError(
            f"step {step!r} of run {run.id} needs more than pixels, so images outside the run can't be embedded"
        )
    return stage
