"""`evaluate.stability`: whether the clusters come again."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, PrivateAttr

from shoal.contract import Context, Makers, Resources, Stage, TableStage
from shoal.errors import PipelineError, StageError
from shoal.hooks import hookimpl
from shoal.kinds import Evaluator
from shoal.schema import columns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Labels = NDArray[np.int64]

DISSOLVED, STABLE = 0.5, 0.75
"""Jaccard indices below which a cluster counts as dissolved, and from which as stable, by Hennig."""


class Stability(Evaluator):
    """Clusters again, with other seeds and without some of the images, and says which clusters are found again.

    Clusters that come again are not therefore meant by anyone, but those that don't are chance. Each of the `runs` takes
    `fraction` of the images and other seeds for every stage that has one, and does again what lies between the vectors
    that this step reads and the clusters: with `from: embed` reduction and clustering, with `from: reduce` the clustering
    alone. It takes as long as that, `runs` times. With `fraction: 1` the seeds alone are tried.

    - `ari`: mean adjusted Rand index of a run with the clusters given, over the run's images. Noise counts as one cluster.
    - `ari_between`: the same of two runs with each other, over the images that both have.
    - `dissolved` and `stable`: clusters whose mean Jaccard index is below 0.5, and at least 0.75.

    A row a cluster: `stability`, the mean over the runs of the largest Jaccard index (shared images by images of either)
    with a cluster of the run; `stability_least`, the smallest of these; `lost`, the runs in which it was below 0.5. Null for
    a cluster of which no run took an image. Clusters little larger than the least size allowed are lost for lack of
    images: the least size is not scaled. Without a cluster it is a FAIL.

    Source: C. Hennig, Computational Statistics & Data Analysis 52, 2007; ARI: L. Hubert, P. Arabie, 1985.
    """

    name: ClassVar[str] = "stability"
    shorthand: ClassVar[str | None] = "runs"

    runs: int = Field(5, ge=1, le=100, description="Times that the images are clustered again.")
    fraction: float = Field(0.8, ge=0.1, le=1.0, description="Share of the images that each run takes.")
    seed: int = Field(42, ge=0, lt=2**31, description="Seed of the choice of images, and of the seeds of the stages.")
    min_ari: float | None = Field(
        0.6, ge=-1.0, le=1.0, description="Threshold: `ari` is at least this; null judges nothing."
    )

    _chain: tuple[TableStage, ...] = PrivateAttr(())

    def produces(self) -> pa.Schema:
        """Return how well a cluster is found again."""
        return columns(stability=pa.float32(), stability_least=pa.float32(), lost=pa.int32())

    def bind(self, makers: Mapping[str, Stage]) -> Stage:
        """Return this stage with the stages between its vectors and its clusters.

        Raises:
            PipelineError: the clusters were not made from those vectors, or one of the stages between reads something else.
        """
        bound = self.model_copy()
        bound._chain = _between(makers)
        return bound

    def needs(self) -> Resources:
        """Return what the stages need that are done again."""
        needs = [stage.needs() for stage in self._chain]
        return Resources(max((need.cpus for need in needs), default=1.0), max((need.gpus for need in needs), default=0.0))

    def identity(self) -> dict[str, Any]:
        """Return the options and, once they are known, the stages that are done again."""
        return {**super().identity(), "again": [stage.identity() for stage in self._chain]}

    def __getstate__(self) -> dict[Any, Any]:
        """Travel with those stages."""
        state = super().__getstate__()
        return {**state, "__pydantic_private__": {"_chain": self._chain}}

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return a row a cluster; note the figures.

        Raises:
            StageError: it is not known which stages made the clusters.
        """
        import numpy as np

        if not self._chain:
            raise StageError(
                "evaluate.stability does not know what made the clusters; put a step of kind `cluster` before it"
            )
        given = rows["cluster"].to_numpy()
        numbers = np.unique(given[given >= 0])
        labels = np.where(given >= 0, np.searchsorted(numbers, given), -1)
        found = [self._again(rows, run, context) for run in range(self.runs)] if rows.num_rows else []
        jaccard = _jaccards(labels, len(numbers), found)
        self._tell(_figures(labels, found, jaccard), context)
        key = pa.field("cluster", pa.int32())
        return pa.table([pa.array(numbers, pa.int32()), *_columns(jaccard)], schema=pa.schema([key, *self.produces()]))

    def _tell(self, figures: dict[str, float | None], context: Context) -> None:
        from shoal_plugins.evaluate._verdict import Bound, judge, tell

        bounds = (Bound("ari", "the mean ARI with the runs that were done again", self.min_ari, False),)
        context.note("again", [stage.title() for stage in self._chain])
        tell(context, figures, bounds, judge(figures, bounds, "" if figures["clusters"] else "there is no cluster"))

    def _again(self, rows: pa.Table, run: int, context: Context) -> "Labels":
        """Return the clusters of one run: -1 for noise, -2 for images that it did not take."""
        import numpy as np

        n = rows.num_rows
        rng = np.random.default_rng([self.seed, run])
        taken = np.sort(rng.choice(n, max(1, round(self.fraction * n)), replace=False))
        seed = int(rng.integers(2**31))
        table = rows.select(["id", "embedding"]).take(pa.array(taken))
        quiet = dataclasses.replace(context, folder=None, note=lambda key, value: None)
        for stage in self._chain:
            own = stage.model_copy(update={"seed": seed}) if "seed" in type(stage).model_fields else stage.model_copy()
            own.setup(quiet)
            answer = own.run(table, quiet)
            table = answer.take(pc.index_in(table["id"], value_set=answer["id"].combine_chunks()))
        labels = np.full(n, -2, dtype=np.int64)
        labels[taken] = np.maximum(table["cluster"].to_numpy(), -1)
        return labels


def _between(makers: Mapping[str, Stage]) -> tuple[TableStage, ...]:
    """Return the stages from the vectors to the clusters, in the order in which they are done."""
    chain: list[TableStage] = []
    stage, above = makers.get("cluster"), _above(makers, "cluster")
    while stage is not None:
        if not isinstance(stage, TableStage) or stage.consumes.names != ["embedding"]:
            raise PipelineError(
                f"evaluate.stability can't do {stage.title()} again, as it reads more than vectors; say with `from:` from "
                "which step's vectors on"
            )
        chain.insert(0, stage)
        if above is None:
            break
        stage, above = above.get("embedding"), _above(above, "embedding")
        if stage is makers.get("embedding"):
            break
    return tuple(chain)


def _above(makers: Mapping[str, Stage], column: str) -> Makers | None:
    return makers.of.get(column) if isinstance(makers, Makers) else None


def _jaccards(labels: "Labels", clusters: int, found: "list[Labels]") -> "NDArray[np.float64]":
    """Return the largest Jaccard index of each cluster in each run, shape (runs, clusters); NaN where it took no image."""
    import numpy as np

    from shoal_plugins.evaluate._agreement import best_jaccard

    taken = [again > -2 for again in found]
    rows = [best_jaccard(labels[some], again[some], clusters) for some, again in zip(taken, found, strict=True)]
    return np.array(rows).reshape(len(found), clusters)


def _figures(labels: "Labels", found: "list[Labels]", jaccard: "NDArray[np.float64]") -> dict[str, float | None]:
    import numpy as np

    from shoal_plugins.evaluate._agreement import rand

    def agreement(left: "Labels", right: "Labels") -> float:
        both = (left > -2) & (right > -2)
        return rand(left[both] + 1, right[both] + 1)

    figures: dict[str, float | None] = {"runs": len(found), "clusters": jaccard.shape[1]}
    if found:
        figures["ari"] = float(np.mean([agreement(labels, again) for again in found]))
    pairs = [agreement(left, right) for place, left in enumerate(found) for right in found[place + 1 :]]
    if pairs:
        figures["ari_between"] = float(np.mean(pairs))
    means = [mean for mean, _, _ in _by_cluster(jaccard) if mean is not None]
    return figures | {
        "dissolved": sum(mean < DISSOLVED for mean in means), "stable": sum(mean >= STABLE for mean in means)
    }  # fmt: skip


def _by_cluster(jaccard: "NDArray[np.float64]") -> list[tuple[float | None, float | None, int | None]]:
    """Return mean, least, and runs below `DISSOLVED`, by cluster."""
    found: list[tuple[float | None, float | None, int | None]] = []
    for column in jaccard.T:
        known = column[column == column]  # noqa: PLR0124  (NaN is not itself)
        if len(known):
            found.append((float(known.mean()), float(known.min()), int((known < DISSOLVED).sum())))
        else:
            found.append((None, None, None))
    return found


def _columns(jaccard: "NDArray[np.float64]") -> list[pa.Array]:
    by_cluster = _by_cluster(jaccard)
    kinds = (pa.float32(), pa.float32(), pa.int32())
    return [pa.array([row[place] for row in by_cluster], kind) for place, kind in enumerate(kinds)]


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Stability,)
