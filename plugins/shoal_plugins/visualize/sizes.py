"""`visualize.sizes`: how large the clusters are."""

from statistics import median
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Visualizer
from shoal.schema import columns
from shoal_plugins.visualize._png import SIZES, write_sizes
from shoal_plugins.visualize._shared import Cluster, asset, clusters_of, count, fragment, html, summary


class Sizes(Visualizer):
    """Draws a bar for every cluster: its name and number of images, largest first, noise last.

    Bars are to one scale that begins at zero. Where there are more clusters than `bars`, the smaller ones are folded away.
    Names come from a `label.*` step where the pipeline has one. With `png` the 100 largest are a picture as well,
    `cluster_sizes.png`.
    """

    name: ClassVar[str] = "sizes"
    consumes: ClassVar[pa.Schema] = columns(cluster=pa.int32())
    optional: ClassVar[pa.Schema] = columns(label=pa.string())

    heading: str = Field("Sizes", description="Heading of the section.", min_length=1, max_length=80)
    bars: int = Field(30, ge=1, le=1000, description="Clusters shown at once; the others are folded away.")
    png: bool = Field(False, description="Write `cluster_sizes.png` as well, for slides and `shoal export --as structural`.")

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the bars, and write their picture into `context.folder` where it is wanted."""
        clusters = clusters_of(rows)
        largest = max((cluster.size for cluster in clusters), default=1)
        bars = [
            (c, f"{100 * c.size / largest:.2f}%", f"{100 * c.size / rows.num_rows:.1f}\u202f%")
            for c in clusters
            if not c.noise
        ]
        noise = [
            (c, f"{100 * c.size / largest:.2f}%", f"{100 * c.size / rows.num_rows:.1f}\u202f%") for c in clusters if c.noise
        ]
        groups = [bars[: self.bars] + noise] if len(bars) <= self.bars else [bars[: self.bars], bars[self.bars :], noise]
        png = ""
        if self.png and clusters and context.folder:
            png = SIZES
            write_sizes(context.folder / SIZES, clusters)
        body = html(
            "sizes.html",
            {
                "groups": groups,
                "summary": _summary(clusters),
                "total": rows.num_rows,
                "count": count,
                "png": png,
            },
        )
        return fragment(self, self.heading, body, asset("sizes.css"))


def _summary(clusters: list[Cluster]) -> str:
    sizes = [cluster.size for cluster in clusters if not cluster.noise]
    text = summary(clusters)
    if len(sizes) < 2:
        return text
    return f"{text} Sizes go from {min(sizes):,} to {max(sizes):,}; the median is {median(sizes):,.0f}."


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Sizes,)
