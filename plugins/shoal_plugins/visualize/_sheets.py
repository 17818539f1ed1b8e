"""Thumbnails of a large set as sprite sheets: JPEG files of many small pictures each, so that 50,000 are 500 files."""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shoal_plugins.visualize._shared import is_jpeg

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS = 10
PER_SHEET = COLUMNS * COLUMNS
QUALITY = 80


def sheet_name(number: int) -> str:
    """Return the file name of a sheet."""
    return f"sheet-{number:05d}.jpg"


def write_sheets(folder: Path, pictures: Sequence[bytes | None], cell: int, threads: int) -> NDArray[np.uint8]:
    """Write pictures into sheets of 100, in order, and return their sizes: shape (n, 2), width and height in pixels.

    A picture lies at the upper left of its cell. One that can't be decoded has the size (0, 0).

    Args:
        folder: where the sheets go.
        pictures: encoded JPEGs.
        cell: side of a cell in pixels, at most 255.
        threads: sheets made at once.
    """
    starts = range(0, len(pictures), PER_SHEET)
    sizes = np.zeros((len(pictures), 2), dtype=np.uint8)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        answers = pool.map(lambda start: _write_sheet(folder, start, pictures[start : start + PER_SHEET], cell), starts)
        for start, answer in zip(starts, answers, strict=True):
            sizes[start : start + len(answer)] = answer
    return sizes


def _write_sheet(folder: Path, start: int, pictures: Sequence[bytes | None], cell: int) -> NDArray[np.uint8]:
    from PIL import Image

    sizes = np.zeros((len(pictures), 2), dtype=np.uint8)
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (cell * min(COLUMNS, len(pictures)), cell * rows), (128, 128, 128))
    for place, data in enumerate(pictures):
        small = _decode(data, cell)
        if small is not None:
            sheet.paste(small, (place % COLUMNS * cell, place // COLUMNS * cell))
            sizes[place] = small.size
    sheet.save(folder / sheet_name(start // PER_SHEET), "JPEG", quality=QUALITY)
    return sizes


def _decode(data: bytes | None, cell: int) -> "Image | None":
    from PIL import Image

    if data is None or not is_jpeg(data):
        return None
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as file:
            file.draft("RGB", (cell, cell))
            small = file.convert("RGB")
    except Exception:  # a decoder may raise anything on broken bytes; the point stays, without its picture
        return None
    small.thumbnail((cell, cell), Image.Resampling.BILINEAR)
    return small
