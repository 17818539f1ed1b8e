"""Pictures of the report for papers and slides, drawn by Pillow: samples of every cluster, and how large clusters are.

Pillow, as it is there for the images anyway and takes labels as they are: a plotting library would read `$` as the
beginning of a formula, and has no more letters than its own font either.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from shoal_plugins.visualize._shared import Cluster, count, summary
from shoal_plugins.visualize._sheets import decode

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

GRID = "cluster_grid.png"
SIZES = "cluster_sizes.png"
CELL = 80
"""Longest side of a thumbnail, in pixels."""

MOST = 100
"""Clusters in a picture: the largest; it says how many more there are."""

_PAPER, _INK, _SOFT, _TRACK, _GAP_COLOUR = "#ffffff", "#14212b", "#54636f", "#eef2f5", "#eef2f5"
_PAD, _GAP, _LINE, _ACROSS = 24, 6, 30, 16
_LONGEST = 120
_FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial.ttf", "segoeui.ttf", "Helvetica.ttc",
    "NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "NotoSansCJKjp-Regular.otf", "DroidSansFallbackFull.ttf",
    "wqy-microhei.ttc", "wqy-zenhei.ttc", "PingFang.ttc", "Hiragino Sans GB.ttc", "msyh.ttc", "YuGothM.ttc", "malgun.ttf",
    "NotoSansArabic-Regular.ttf", "NotoSansHebrew-Regular.ttf", "NotoSansDevanagari-Regular.ttf", "NotoSansThai-Regular.ttf",
    "Arial Unicode.ttf", "unifont.otf", "unifont.ttf",
)  # fmt: skip
_NO_CHARACTER = "\U0010ffff"


@cache
def _font(name: str, size: int) -> "FreeTypeFont | None":
    from PIL import ImageFont

    try:
        return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)  # type: ignore[return-value]
    except OSError:
        return None


@cache
def _mark(name: str, size: int, character: str) -> bytes:
    font = _font(name, size)
    return b"" if font is None else bytes(font.getmask(character))


@cache
def _font_for(character: str, size: int) -> str:
    """Return the first font of this machine that has a character; Pillow's own ("") draws its box for one that none has."""
    for name in (*_FONTS, ""):
        if _font(name, size) is not None and _mark(name, size, character) != _mark(name, size, _NO_CHARACTER):
            return name
    return ""


def _runs(text: str, size: int) -> Iterator[tuple[str, "FreeTypeFont"]]:
    """Yield pieces of a text that one font has, with that font; marks stay with the letter before them."""
    piece, name = "", ""
    for character in text:
        joins = character.isspace() or unicodedata.category(character).startswith("M")
        own = name if piece and joins else _font_for(character, size)
        if piece and own != name:
            yield piece, _must(name, size)
            piece = ""
        piece, name = piece + character, own
    if piece:
        yield piece, _must(name, size)


def _must(name: str, size: int) -> "FreeTypeFont":
    font = _font(name, size)
    assert font is not None, name  # noqa: S101  (`_font_for` opened it)
    return font


def _length(text: str, size: int) -> float:
    return sum(font.getlength(piece) for piece, font in _runs(text, size))


def _fitting(text: str, size: int, width: float) -> str:
    """Return a text as people may see it, cut with an ellipsis where it is wider than `width` pixels."""
    from shoal.report import shown

    known = shown(text)
    if len(known) <= _LONGEST and _length(known, size) <= width:
        return known
    known = known[:_LONGEST]
    while known and _length(f"{known}…", size) > width:
        known = known[:-1]
    return f"{known}…"


def _write(draw: "ImageDraw", at: tuple[float, float], text: str, size: int, colour: str) -> float:
    """Write a text whose baseline begins at a place, and return where it ends."""
    x, y = at
    for piece, font in _runs(text, size):
        draw.text((x, y), piece, fill=colour, font=font, anchor="ls")
        x += font.getlength(piece)
    return x


def _sheet(width: int, height: int, title: str) -> "tuple[Image, ImageDraw]":
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    _write(draw, (_PAD, _PAD + 16), _fitting(title, 16, width - 2 * _PAD), 16, _INK)
    return image, draw


def _more(clusters: Sequence[Cluster], most: int) -> tuple[list[Cluster], str]:
    """Return the clusters that a picture shows, and what it says of the others."""
    inside = [cluster for cluster in clusters if not cluster.noise]
    rest = inside[most:]
    kept = inside[:most] + [cluster for cluster in clusters if cluster.noise]
    if not rest:
        return kept, ""
    return kept, f"{count(len(rest), 'smaller cluster')} with {count(sum(c.size for c in rest), 'image')} not shown"


def _tell(draw: "ImageDraw", at: tuple[int, int], cluster: Cluster, total: int, width: int) -> None:
    """Write a cluster's name behind a dot of its colour, and its number and size."""
    x, y = at
    draw.ellipse((x, y - 11, x + 11, y), fill=cluster.colour)
    said = "" if _is_number(cluster) else f"cluster {cluster.number}, "
    said += f"{count(cluster.size, 'image')}, {100 * cluster.size / total:.1f} %"
    name = _fitting(cluster.name, 15, width - 40 - _length(said, 13))
    _write(draw, (_write(draw, (x + 20, y), name, 15, _INK) + 12, y), said, 13, _SOFT)


def _is_number(cluster: Cluster) -> bool:
    """Tell whether a cluster's name says its number: a label may have letters that no font here has."""
    return cluster.noise or cluster.name == f"cluster_{cluster.number:02d}"


def write_grid(path: Path, clusters: Sequence[Cluster], pictures: Mapping[int, Sequence[bytes | None]]) -> None:
    """Write samples of every cluster as a PNG: a heading a cluster, 16 thumbnails a line.

    Args:
        path: where it goes.
        clusters: all of them, largest first, noise last.
        pictures: encoded JPEGs of the samples of the noise and of the largest clusters, by the cluster's number; one that
            can't be decoded leaves its place grey.
    """
    kept, more = _more(clusters, min(MOST, sum(number >= 0 for number in pictures)))
    total = sum(cluster.size for cluster in clusters) or 1
    lines = {cluster.number: max(1, -(-len(pictures[cluster.number]) // _ACROSS)) for cluster in kept}
    width = 2 * _PAD + _ACROSS * (CELL + _GAP) - _GAP
    height = 2 * _PAD + _LINE + sum(_LINE + n * (CELL + _GAP) + 10 for n in lines.values()) + (_LINE if more else 0)
    image, draw = _sheet(width, height, summary(list(clusters)))
    y = _PAD + _LINE
    for cluster in kept:
        _tell(draw, (_PAD, y + 18), cluster, total, width - 2 * _PAD)
        y += _LINE
        for place, data in enumerate(pictures[cluster.number]):
            corner = _PAD + place % _ACROSS * (CELL + _GAP), y + place // _ACROSS * (CELL + _GAP)
            draw.rectangle((*corner, corner[0] + CELL - 1, corner[1] + CELL - 1), fill=_GAP_COLOUR)
            small = decode(data, CELL)
            if small is not None:
                image.paste(small, (corner[0] + (CELL - small.width) // 2, corner[1] + (CELL - small.height) // 2))
        y += lines[cluster.number] * (CELL + _GAP) + 10
    _write(draw, (_PAD, y + 14), more, 13, _SOFT)
    image.save(path, "PNG")


def write_sizes(path: Path, clusters: Sequence[Cluster]) -> None:
    """Write a bar for every cluster as a PNG, to one scale that begins at zero: largest first, noise last."""
    kept, more = _more(clusters, MOST)
    total = sum(cluster.size for cluster in clusters) or 1
    largest = max((cluster.size for cluster in kept), default=1)
    width, names, figures, high = 1000, 280, 130, 26
    height = 2 * _PAD + _LINE + len(kept) * high + (_LINE if more else 0)
    image, draw = _sheet(width, height, summary(list(clusters)))
    left, right = _PAD + names, width - _PAD - figures
    for place, cluster in enumerate(kept):
        y = _PAD + _LINE + place * high
        name = cluster.name if _is_number(cluster) else f"{cluster.number} · {cluster.name}"
        name = _fitting(name, 14, names - 16)
        _write(draw, (left - 12 - _length(name, 14), y + 16), name, 14, _INK)
        draw.rounded_rectangle((left, y + 3, right, y + 20), 4, fill=_TRACK)
        length = max(2, round((right - left) * cluster.size / largest))
        draw.rounded_rectangle((left, y + 3, left + length, y + 20), min(4, length // 2), fill=cluster.colour)
        _write(draw, (right + 12, y + 16), f"{cluster.size:,}  ({100 * cluster.size / total:.1f} %)", 13, _SOFT)
    _write(draw, (_PAD, height - _PAD), more, 13, _SOFT)
    image.save(path, "PNG")
