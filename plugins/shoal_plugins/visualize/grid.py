"""`visualize.grid`: samples of every cluster side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Visualizer
from shoal.schema import columns
from shoal_plugins.visualize._png import GRID, MOST, write_grid
from shoal_plugins.visualize._shared import Cluster, asset, clusters_of, count, fragment, html, picture_source


@dataclass(frozen=True)
class _Picture:
    source: str  # where its JPEG is; empty where it has none
    name: str
    path: str
    representative: bool


@dataclass(frozen=True)
class _Shown:
    cluster: Cluster
    pictures: list[_Picture]
    share: str


class Grid(Visualizer):
    """Draws samples of every cluster: representatives first, then the images that belong to it most.

    Largest clusters come first and noise last, each with its name and size; many clusters are shown a page at a time.
    Ranks come from a `sample.*` step, names from a `label.*` step, where the pipeline has them. Pictures are inside the
    page; where there are more than `inline`, they lie beside it and are read when they scroll into view. With `png` the
    samples of the 100 largest clusters are a picture as well, `cluster_grid.png`, 16 thumbnails of 80 pixels a line.
    """

    name: ClassVar[str] = "grid"
    consumes: ClassVar[pa.Schema] = columns(cluster=pa.int32(), path=pa.string(), thumbnail=pa.binary())
    optional: ClassVar[pa.Schema] = columns(label=pa.string(), rank=pa.int32(), strength=pa.float32())

    heading: str = Field("Samples", description="Heading of the section.", min_length=1, max_length=80)
    samples: int = Field(8, ge=1, le=100, description="Images shown of each cluster.")
    page: int = Field(20, ge=1, le=500, description="Clusters shown at a time.")
    clusters: int = Field(500, ge=1, le=5000, description="Clusters shown at most; the largest are.")
    inline: int = Field(
        600, ge=0, le=20_000, description="Up to this many pictures are inside the page; more lie beside it."
    )
    png: bool = Field(False, description="Write `cluster_grid.png` as well, for slides and `shoal export --as structural`.")

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the samples, and write their pictures into `context.folder` where there are many.

        Raises:
            StageError: there are more pictures than `inline` and no folder for them.
        """
        every = clusters_of(rows)
        kept = [cluster for cluster in every if not cluster.noise][: self.clusters] + [c for c in every if c.noise]
        picked = self._pick(rows, kept)
        total = sum(len(places) for places in picked)
        within = total <= self.inline
        context.note("pictures", "in the page" if within else "files beside it")
        shown = [
            _Shown(
                cluster, self._pictures(rows, places, context, within), f"{100 * cluster.size / rows.num_rows:.1f}\u202f%"
            )
            for cluster, places in zip(kept, picked, strict=True)
        ]
        png = self._png(rows, every, dict(zip((c.number for c in kept), picked, strict=True)), context)
        body = html(
            "grid.html",
            {"clusters": shown, "page": self.page, "more": len(every) - len(kept), "count": count, "png": png},
        )
        script = asset("grid.js") if len(shown) > self.page else ""
        return fragment(self, self.heading, body, asset("grid.css"), script)

    def _png(self, rows: pa.Table, clusters: list[Cluster], picked: Mapping[int, list[int]], context: Context) -> str:
        """Write the picture where it is wanted and there is a folder for it, and return its name, or ""."""
        if not (self.png and clusters and context.folder):
            return ""
        shown = [number for number in picked if number >= 0][:MOST] + [number for number in picked if number < 0]
        thumbnails = {n: rows["thumbnail"].take(pa.array(picked[n], type=pa.int64())).to_pylist() for n in shown}
        write_grid(context.folder / GRID, clusters, thumbnails)
        return GRID

    def _pick(self, rows: pa.Table, clusters: Sequence[Cluster]) -> list[list[int]]:
        """Return the row numbers of each cluster's samples, by rank, then by falling strength, then by id."""
        number = np.maximum(rows["cluster"].to_numpy(), -1)
        last = np.iinfo(np.int64).max
        ranks = _column(rows, "rank")
        rank = np.array([last if value is None else value for value in ranks], dtype=np.int64)
        strength = np.nan_to_num(np.array(_column(rows, "strength"), dtype=np.float64))
        order = np.lexsort((-strength, rank, number))  # stable: rows come sorted by id
        starts = np.searchsorted(number[order], [cluster.number for cluster in clusters])
        return [order[start : start + min(self.samples, c.size)].tolist() for start, c in zip(starts, clusters, strict=True)]

    def _pictures(self, rows: pa.Table, places: list[int], context: Context, within: bool) -> list[_Picture]:
        found = []
        for row in rows.take(pa.array(places, type=pa.int64())).to_pylist():
            source = picture_source(self, row["id"], row["thumbnail"], context, within)
            name = row["path"].rpartition("/")[2]
            found.append(_Picture(source, name, row["path"], row.get("rank") is not None))
        return found


def _column(rows: pa.Table, name: str) -> list[Any]:
    return rows[name].to_pylist() if name in rows.column_names else [None] * rows.num_rows


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Grid,)
