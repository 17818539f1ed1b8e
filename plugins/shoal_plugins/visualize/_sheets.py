"""Thumbnails of a large set as sprite sheets: JPEG files of many small pictures each, so that 50,000 are 500 files."""

import io
from collections.abc import Iterator, Sequence
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
    sizes = []
    for number, (sheet, some) in enumerate(make_sheets(pictures, cell, threads)):
        (folder / sheet_name(number)).write_bytes(sheet)
        sizes.append(some)
    return np.concatenate(sizes) if sizes else np.zeros((0, 2), dtype=np.uint8)


def make_sheets(
    pictures: Sequence[bytes | None], cell: int, threads: int, quality: int = QUALITY
) -> Iterator[tuple[bytes, NDArray[np.uint8]]]:
    """Yield each sheet as a JPEG, with the sizes of its pictures: shape (n, 2). See `write_sheets`."""
    starts = range(0, len(pictures), PER_SHEET)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        yield from pool.map(lambda start: _sheet(pictures[start : start + PER_SHEET], cell, quality), starts)


def _sheet(pictures: Sequence[bytes | None], cell: int, quality: int) -> tuple[bytes, NDArray[np.uint8]]:
    from PIL import Image

    sizes = np.zeros((len(pictures), 2), dtype=np.uint8)
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (cell * min(COLUMNS, len(pictures)), cell * rows), (128, 128, 128))
    for place, data in enumerate(pictures):
        small = decode(data, cell)
        if small is not None:
            sheet.paste(small, (place % COLUMNS * cell, place // COLUMNS * cell))
            sizes[place] = small.size
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=quality)
    return file.getvalue(), sizes


def decode(data: bytes | None, cell: int) -> "Image | None":
    """Return a JPEG as an RGB image that fits into a square of `cell` pixels, or None where it can't be decoded."""
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
