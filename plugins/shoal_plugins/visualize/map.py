"""`visualize.map`: every image as a point of an interactive map."""

import base64
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from shoal.contract import Context, Stage
from shoal.errors import StageError
from shoal.hooks import hookimpl
from shoal.kinds import Visualizer
from shoal.schema import columns, vector
from shoal.vectors import to_numpy
from shoal_plugins.visualize._points import encoded, legend, paths, positions, strengths
from shoal_plugins.visualize._shared import Cluster, asset, clusters_of, fragment, html, is_jpeg, summary
from shoal_plugins.visualize._sheets import COLUMNS, PER_SHEET, write_sheets

_MORTON_BITS = 12


class Map(Visualizer):
    """Draws an interactive map: each image is a point at the first two components of its embedding.

    Colours are clusters, noise is grey. Hovering shows the thumbnail, a click pins path, cluster and label, the search
    marks file names, the legend switches clusters off and on; it pans, zooms and resets by mouse, touch and keyboard.
    Small sets carry their thumbnails in the page, so that one file holds all; larger ones put them into sprite sheets
    beside it, which are read on hover. Take it after a reduction to two components: `from: flat` where that step is
    called `flat`.

    Points are drawn on a 2-D canvas: with 50,000 that stays smooth without a GPU, and it needs no `unsafe-eval` in the
    page's content security policy, which plotly's WebGL scatter does (`benchmarks/report.py` measures it).
    """

    name: ClassVar[str] = "map"
    consumes: ClassVar[pa.Schema] = columns(embedding=vector(), cluster=pa.int32(), path=pa.string(), thumbnail=pa.binary())
    optional: ClassVar[pa.Schema] = columns(label=pa.string(), strength=pa.float32())

    heading: str = Field("Map", description="Heading of the section.", min_length=1, max_length=80)
    inline: int = Field(
        1000, ge=0, le=20_000, description="Sets of at most this many images carry their thumbnails inside the page."
    )
    cell: int = Field(
        96, ge=32, le=255, description="Longest side of a thumbnail in a larger set's sprite sheets, in pixels."
    )

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the map, and write sprite sheets into `context.folder` where the set is large.

        Raises:
            StageError: the set is larger than `inline` and there is no folder for its sheets.
        """
        clusters = clusters_of(rows)
        body = html("map.html", {"clusters": clusters, "total": rows.num_rows, "summary": summary(clusters)})
        if not rows.num_rows:
            return fragment(self, self.heading, body, asset("map.css"))
        numbers = np.array([cluster.number for cluster in clusters])
        places = _flat(to_numpy(rows["embedding"]))
        which = positions(rows["cluster"].to_numpy(), numbers)
        order = _drawing_order(places, which, len(clusters))
        data = {
            **_points(places[order], which[order], clusters),
            **paths(rows["path"].take(pa.array(order)).to_pylist()),
            **strengths(rows, order),
            "pictures": self._pictures(rows["thumbnail"].take(pa.array(order)), context),
        }
        return fragment(self, self.heading, body, asset("map.css"), _script(data))

    def _pictures(self, thumbnails: pa.ChunkedArray, context: Context) -> dict[str, Any]:
        """Return the thumbnails, or where they are: `data` (base64 JPEGs) or the layout of the sheets."""
        pictures = thumbnails.to_pylist()
        if len(pictures) <= self.inline:
            context.note("thumbnails", "in the page")
            return {"data": [base64.b64encode(data).decode() if is_jpeg(data) else "" for data in pictures]}
        if context.folder is None:
            raise StageError(
                "visualize.map needs a folder for its sprite sheets; give one in the context, or raise its option `inline`"
            )
        context.note("thumbnails", "sprite sheets")
        sizes = write_sheets(context.folder, pictures, self.cell, context.threads)
        return {"columns": COLUMNS, "sheet": PER_SHEET, "cell": self.cell, "sizes": encoded(sizes)}


def _script(data: dict[str, Any]) -> str:
    from shoal.report import json_literal

    script = "\n".join(asset(name) for name in ("common.js", "map_view.js", "map_pictures.js", "map.js"))
    return "(() => {\n" + script.replace("__DATA__", json_literal(data)) + "})();\n"


def _flat(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the first two components, zero where there is none or it is not finite: shape (n, 2)."""
    places = np.zeros((len(vectors), 2), dtype=np.float32)
    size = min(2, vectors.shape[1])
    places[:, :size] = vectors[:, :size]
    return np.nan_to_num(places, nan=0.0, posinf=0.0, neginf=0.0)


def _drawing_order(places: NDArray[np.float32], which: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Return the order in which points are drawn: noise below, then the largest cluster, the smallest on top.

    Within a cluster points follow a Z-order curve, so that neighbours share a sprite sheet.
    """
    low, span = places.min(axis=0), np.ptp(places, axis=0)
    cells = ((places - low) / np.where(span > 0, span, 1) * (2**_MORTON_BITS - 1)).astype(np.int64)
    curve = np.zeros(len(places), dtype=np.int64)
    for bit in range(_MORTON_BITS):
        curve |= ((cells[:, 0] >> bit & 1) << 2 * bit) | ((cells[:, 1] >> bit & 1) << 2 * bit + 1)
    return np.lexsort((curve, which, which != count - 1)) if count else np.arange(0)


def _points(places: NDArray[np.float32], which: NDArray[np.int32], clusters: list[Cluster]) -> dict[str, Any]:
    x, y = np.ascontiguousarray(places[:, 0]), np.ascontiguousarray(places[:, 1])
    return {"x": encoded(x), "y": encoded(y), "which": encoded(which), "clusters": legend(clusters)}


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Map,)
