"""`visualize.rescue`: which noise images may belong to a cluster after all, and how sure that is."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Visualizer
from shoal.schema import columns
from shoal_plugins.visualize._shared import (
    Cluster,
    asset,
    clusters_of,
    count,
    cut,
    fragment,
    html,
    picture_source,
)

_MADE = ("suggested", "best", "score", "nearest")  # by every rescuer, all or none


@dataclass(frozen=True)
class _Row:
    source: str  # where its JPEG is; empty where it has none
    name: str
    path: str
    caption: str
    suggested: Cluster | None
    best: Cluster | None
    score: float | None
    runner_up: Cluster | None
    runner_up_score: float | None
    margin: float | None
    nearest: Cluster | None
    nearest_score: float | None

    @property
    def agree(self) -> bool:
        """Whether the words and the picture say the same cluster."""
        return self.nearest is not None and self.nearest == self.best

    @property
    def disagree(self) -> bool:
        """Whether they say different ones."""
        return self.nearest is not None and self.best is not None and self.nearest != self.best


class Rescue(Visualizer):
    """Draws a table of the noise images: the cluster that each may belong to, how like it is, and the next best.

    Beside what the captions say stands the second opinion of the pictures, and whether both agree. Images with a suggestion
    come first, by cluster and falling score; then those that are like no cluster enough. People decide: the section says
    which command accepts the suggestions. Suggestions come from a `rescue.*` step, labels from a `label.*` step.
    """

    name: ClassVar[str] = "rescue"
    consumes: ClassVar[pa.Schema] = columns(cluster=pa.int32(), path=pa.string(), thumbnail=pa.binary())
    optional: ClassVar[pa.Schema] = columns(
        label=pa.string(), caption=pa.string(), suggested=pa.int32(), best=pa.int32(), score=pa.float32(),
        runner_up=pa.int32(), runner_up_score=pa.float32(), margin=pa.float32(), nearest=pa.int32(),
        nearest_score=pa.float32(),
    )  # fmt: skip

    heading: str = Field("Rescue", description="Heading of the section.", min_length=1, max_length=80)
    rows: int = Field(500, ge=1, le=20_000, description="Noise images shown at most; those with a suggestion come first.")
    inline: int = Field(
        200, ge=0, le=20_000, description="Up to this many pictures are inside the page; more lie beside it."
    )

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the table, and write its pictures into `context.folder` where there are many.

        Raises:
            StageError: there are more pictures than `inline` and no folder for them.
        """
        by_number = {cluster.number: cluster for cluster in clusters_of(rows)}
        noise = sum(cluster.size for cluster in by_number.values() if cluster.noise)
        looked, waiting = _looked_at(rows)
        shown = rows.take(looked[: self.rows])
        within = shown.num_rows <= self.inline
        found = [self._row(row, by_number, context, within) for row in shown.to_pylist()]
        context.note("suggestions", waiting)
        values = {
            "rows": found,
            "more": len(looked) - len(found),
            "noise": noise,
            "unseen": noise - len(looked),
            "asked": set(_MADE) <= set(rows.column_names),
            "suggestions": waiting,
            "agreed": sum(row.agree for row in found if row.suggested),
            "spoken": any(row.caption for row in found),
            "count": count,
        }
        return fragment(self, self.heading, html("rescue.html", values), asset("rescue.css"))

    def _row(self, row: dict[str, Any], clusters: dict[int, Cluster], context: Context, within: bool) -> _Row:
        return _Row(
            source=picture_source(self, row["id"], row["thumbnail"], context, within),
            name=row["path"].rpartition("/")[2],
            path=row["path"],
            caption=cut(row.get("caption")),
            suggested=_cluster(row.get("suggested"), clusters),
            best=_cluster(row["best"], clusters),
            score=row.get("score"),
            runner_up=_cluster(row.get("runner_up"), clusters),
            runner_up_score=row.get("runner_up_score"),
            margin=row.get("margin"),
            nearest=_cluster(row.get("nearest"), clusters),
            nearest_score=row.get("nearest_score"),
        )


def _cluster(number: int | None, clusters: dict[int, Cluster]) -> Cluster | None:
    return None if number is None else clusters.get(number)


def _looked_at(rows: pa.Table) -> tuple[pa.Array, int]:
    """Return the places of the noise images that a rescuer looked at, suggestions first, and how many suggestions there are.

    Places and not rows: their thumbnails are most of what a run holds, and few of them are shown.
    """
    if not set(_MADE) <= set(rows.column_names):
        return pa.array([], pa.int64()), 0
    known = pc.or_(pc.is_valid(rows["best"]), pc.is_valid(rows["nearest"]))
    wanted = pc.and_(pc.less(rows["cluster"], 0), known).to_numpy()
    places = pa.array(np.flatnonzero(wanted), pa.int64())  # pyarrow's own indices_nonzero crashes on a column without chunks
    noise = rows.select(["suggested", "score", "id"]).take(places)
    order = pc.sort_indices(noise, [("suggested", "ascending"), ("score", "descending"), ("id", "ascending")])
    return places.take(order), noise.num_rows - noise["suggested"].null_count


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Rescue,)
