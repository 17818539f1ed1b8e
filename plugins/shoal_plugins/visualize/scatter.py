"""`visualize.scatter`: images as points in space that can be turned."""

import base64
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Visualizer
from shoal.schema import columns, vector
from shoal.vectors import to_numpy
from shoal_plugins.visualize._points import encoded, legend, paths, positions, strengths
from shoal_plugins.visualize._shared import Cluster, asset, clusters_of, fragment, html, summary
from shoal_plugins.visualize._sheets import COLUMNS, PER_SHEET, make_sheets

_BLOCK = 20_000
_QUALITY = 75


class Scatter(Visualizer):
    """Draws images as points in three dimensions that people turn, zoom and pan.

    Colours are clusters, the same as in every part of the report; noise is grey and smaller. Hovering a point shows its
    thumbnail, file name, cluster, label and strength. Dragging turns, the wheel zooms, dragging with shift or the right
    button pans, a button turns it by itself (not where the system asks for less motion), another resets; the legend
    switches clusters off and on; every one of these has a key.

    Vectors of more than three components are drawn at their first three principal components, fitted on all images; those
    of two lie flat. Where there are more images than `most`, a sample is drawn, at random, with a point at least of each
    cluster, and the page says so. Thumbnails lie in the page as sprite sheets, so that one file holds all: `shoal export
    --as structural` makes a page of its own of it, `interactive_scatter.html`.

    It is projected and drawn on a 2-D canvas by a short script, as 5,000 points need neither a GPU nor a library: three.js
    (0.187) adds 2.1 MB to each page, and plotly needs `unsafe-eval`, which the page's content security policy forbids.
    """

    name: ClassVar[str] = "scatter"
    consumes: ClassVar[pa.Schema] = columns(embedding=vector(), cluster=pa.int32(), path=pa.string(), thumbnail=pa.binary())
    optional: ClassVar[pa.Schema] = columns(label=pa.string(), strength=pa.float32())

    heading: str = Field("Scatter", description="Heading of the section.", min_length=1, max_length=80)
    most: int = Field(5000, ge=100, le=20_000, description="Points drawn at most.")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Seed of the sample where there are more images.")
    cell: int = Field(80, ge=32, le=255, description="Longest side of a thumbnail, in pixels.")

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the scatter; it has no files."""
        clusters = clusters_of(rows)
        total = rows.num_rows
        if not total:
            return fragment(self, self.heading, html("scatter.html", {"total": 0}), asset("scatter.css"))
        which = positions(rows["cluster"].to_numpy(), np.array([cluster.number for cluster in clusters]))
        kept = sample(which, self.most, self.seed)
        places, share = in_space(to_numpy(rows["embedding"]), kept)
        sheets, sizes = zip(
            *make_sheets(rows["thumbnail"].take(pa.array(kept)).to_pylist(), self.cell, context.threads, _QUALITY),
            strict=True,
        )
        context.note("points", len(kept))
        data = {
            **_space(places),
            "which": encoded(which[kept]),
            "clusters": legend(clusters),
            "labelled": [_is_labelled(cluster) for cluster in clusters],
            "names": paths(rows["path"].take(pa.array(kept)).to_pylist())["names"],
            **strengths(rows, kept),
            "pictures": {
                "columns": COLUMNS, "sheet": PER_SHEET, "cell": self.cell, "sizes": encoded(np.concatenate(sizes)),
                "sheets": [base64.b64encode(sheet).decode() for sheet in sheets],
            },
        }  # fmt: skip
        said = {
            "clusters": clusters,
            "total": total,
            "summary": summary(clusters),
            "drawn": len(kept),
            "axes": _axes(rows, share),
        }
        return fragment(self, self.heading, html("scatter.html", said), asset("scatter.css"), _script(data))


def sample(which: NDArray[np.int32], most: int, seed: int) -> NDArray[np.int64]:
    """Return at most `most` row numbers, sorted: of each cluster its share, and one at least while there is room.

    Args:
        which: each row's cluster, counted from 0, the largest first.
        most: rows to return.
        seed: of the choice within a cluster.
    """
    if len(which) <= most:
        return np.arange(len(which))
    sizes = np.bincount(which)
    exact = sizes * (most / len(which))
    shares = np.maximum(1, exact.astype(np.int64))
    rest = max(0, most - int(shares.sum()))
    shares[np.argsort(shares - exact, kind="stable")[:rest]] += 1  # those that rounding down took most from
    while (over := int(shares.sum()) - most) > 0:  # many crumbs: the larger clusters give way, and the last crumbs go
        large = shares > 1
        if not large.any():
            shares[most:] = 0
            break
        take = -(-over // int(large.sum()))
        shares[large] = np.maximum(1, shares[large] - take)
    mixed = np.random.default_rng(seed).permutation(len(which))
    order = mixed[np.argsort(which[mixed], kind="stable")]
    starts = np.cumsum(sizes) - sizes
    picked = [order[start : start + share] for start, share in zip(starts, shares, strict=True)]
    return np.sort(np.concatenate(picked))


def in_space(vectors: NDArray[np.float32], kept: NDArray[np.int64]) -> tuple[NDArray[np.float32], float | None]:
    """Return the places of some rows, shape (kept, 3), and the share of the variance that they hold.

    Up to three components are taken as they are (share None); of more, the first three principal components, each turned so
    that its largest weight is positive. What is not finite counts as zero.
    """
    size = vectors.shape[1]
    if size <= 3:
        places = np.zeros((len(kept), 3), dtype=np.float32)
        places[:, :size] = _finite(vectors[kept])
        return places, None
    from scipy.linalg import eigh

    sums = sum(_finite(block).sum(axis=0, dtype=np.float64) for block in _blocks(vectors))
    mean = (sums / len(vectors)).astype(np.float32)
    spread = np.zeros((size, size))
    for block in _blocks(vectors):
        centred = _finite(block) - mean
        spread += centred.T @ centred
    values, directions = eigh(spread, subset_by_index=(size - 3, size - 1))
    axes = directions[:, ::-1]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), range(3)] < 0, -1, 1)
    whole = float(np.trace(spread))
    share = float(values.sum()) / whole if whole > 0 else 1.0
    return ((_finite(vectors[kept]) - mean) @ axes).astype(np.float32), share


def _blocks(vectors: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [vectors[start : start + _BLOCK] for start in range(0, len(vectors), _BLOCK)]


def _finite(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.nan_to_num(vectors, nan=0.0, posinf=0.0, neginf=0.0)


def _space(places: NDArray[np.float32]) -> dict[str, Any]:
    """Return the places moved and scaled, all axes alike, into a ball of radius 1: turned, they stay in it."""
    low, high = places.min(axis=0).astype(np.float64), places.max(axis=0).astype(np.float64)
    centred = places - (low + high) / 2
    radius = float(np.sqrt((centred**2).sum(axis=1).max())) or 1.0
    x, y, z = (encoded(np.ascontiguousarray(centred[:, axis] / radius, dtype=np.float32)) for axis in range(3))
    return {"x": x, "y": y, "z": z, "box": ((high - low) / 2 / radius).tolist()}


def _axes(rows: pa.Table, share: float | None) -> str:
    size = rows["embedding"].type.list_size
    if share is None:
        return "The vectors have two components, so the points lie flat." if size == 2 else ""
    return (
        f"The axes are the first three principal components of {size}; they hold {100 * share:.0f}\u202f% of the variance."
    )


def _is_labelled(cluster: Cluster) -> bool:
    return not cluster.noise and cluster.name != f"cluster_{cluster.number:02d}"


def _script(data: dict[str, Any]) -> str:
    from shoal.report import json_literal

    script = "\n".join(asset(name) for name in ("common.js", "scatter_view.js", "scatter.js"))
    return "(() => {\n" + script.replace("__DATA__", json_literal(data)) + "})();\n"


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Scatter,)
