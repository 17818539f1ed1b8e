"""`visualize.labels`: how the clusters are called, why, and what their captions say."""

from collections import Counter
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


@dataclass(frozen=True)
class _Captioned:
    source: str  # where its JPEG is; empty where it has none
    name: str
    path: str
    caption: str


@dataclass(frozen=True)
class _Row:
    cluster: Cluster
    reason: str
    first_label: str  # empty where the label is the first one
    apart_from: list[str]
    keywords: list[tuple[str, int]]  # with the number of captions that have it
    captions: int
    captioned: list[_Captioned]


class Labels(Visualizer):
    """Draws a table of the clusters: label, why this label, what it was told apart from, keywords, and captioned images.

    Where a labeller first gave two clusters the same or nearly the same label and then told them apart, the table shows
    both labels and the clusters that it was told apart from. Keywords are those of most captions. Labels come from a
    `label.*` step, captions from a `caption.*` step, keywords from a `distil.*` step, where the pipeline has them. Images
    with a caption are shown, those that belong to the cluster most first. Largest clusters come first; noise has no row.
    """

    name: ClassVar[str] = "labels"
    consumes: ClassVar[pa.Schema] = columns(cluster=pa.int32(), path=pa.string(), thumbnail=pa.binary())
    optional: ClassVar[pa.Schema] = columns(
        label=pa.string(), reason=pa.string(), first_label=pa.string(), told_apart_from=pa.list_(pa.int32()),
        caption=pa.string(), keywords=pa.list_(pa.string()), strength=pa.float32(),
    )  # fmt: skip

    heading: str = Field("Labels", description="Heading of the section.", min_length=1, max_length=80)
    samples: int = Field(3, ge=0, le=50, description="Captioned images shown of each cluster.")
    words: int = Field(8, ge=0, le=100, description="Keywords shown of each cluster.")
    clusters: int = Field(500, ge=1, le=5000, description="Clusters shown at most; the largest are.")
    inline: int = Field(
        600, ge=0, le=20_000, description="Up to this many pictures are inside the page; more lie beside it."
    )

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the table, and write its pictures into `context.folder` where there are many.

        Raises:
            StageError: there are more pictures than `inline` and no folder for them.
        """
        every = [cluster for cluster in clusters_of(rows) if not cluster.noise]
        places = _by_cluster(rows)
        kept = every[: self.clusters]
        members = [rows.take(pa.array(places[cluster.number])) for cluster in kept]
        within = sum(min(self.samples, _captions(table).num_rows) for table in members) <= self.inline
        names = {cluster.number: cluster.name for cluster in every}
        shown = [self._row(cluster, table, names, context, within) for cluster, table in zip(kept, members, strict=True)]
        values = {
            "rows": shown,
            "more": len(every) - len(shown),
            "apart": sum(bool(row.first_label) for row in shown),
            "named": "label" in rows.column_names,
            "spoken": any(row.captions for row in shown),
            "worded": any(row.keywords for row in shown),
            "count": count,
        }
        return fragment(self, self.heading, html("labels.html", values), asset("labels.css"))

    def _row(self, cluster: Cluster, members: pa.Table, names: dict[int, str], context: Context, within: bool) -> _Row:
        facts = members.select([name for name in _FACTS if name in members.column_names]).slice(0, 1).to_pylist()[0]
        first = facts.get("first_label") or ""
        captioned = _captions(members)
        pictures = [
            _Captioned(
                picture_source(self, row["id"], row["thumbnail"], context, within),
                row["path"].rpartition("/")[2],
                row["path"],
                cut(row["caption"]),
            )
            for row in captioned.slice(0, self.samples).to_pylist()
        ]
        return _Row(
            cluster,
            cut(facts.get("reason")),
            cut(first) if first != cluster.name else "",
            [names.get(number, f"cluster_{number:02d}") for number in facts.get("told_apart_from") or []],
            _keywords(members)[: self.words],
            captioned.num_rows,
            pictures,
        )


_FACTS = ("cluster", "reason", "first_label", "told_apart_from")


def _by_cluster(rows: pa.Table) -> dict[int, Any]:
    """Return the row numbers of each cluster, by falling strength, then by id."""
    number = rows["cluster"].to_numpy()
    known = rows["strength"].to_pylist() if "strength" in rows.column_names else [0.0] * rows.num_rows
    strength = np.nan_to_num(np.array(known, dtype=np.float64))
    order = np.lexsort((-strength, number))  # stable: rows come sorted by id
    found, starts = np.unique(number[order], return_index=True)
    return dict(zip(found.tolist(), np.split(order, starts[1:]), strict=True)) if len(found) else {}


def _captions(rows: pa.Table) -> pa.Table:
    """Return the rows that have a caption."""
    if "caption" not in rows.column_names:
        return rows.slice(0, 0)
    return rows.filter(pc.greater(pc.utf8_length(pc.fill_null(rows["caption"], "")), 0))


def _keywords(rows: pa.Table) -> list[tuple[str, int]]:
    """Return the keywords and how many captions have each, the most frequent first."""
    if "keywords" not in rows.column_names:
        return []
    found: Counter[str] = Counter()
    for words in rows["keywords"].to_pylist():
        found.update({cut(word, 80): 1 for word in words or [] if word})
    return found.most_common()


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Labels,)
