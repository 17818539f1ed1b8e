"""Pictures made on the spot, and files of them."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


def scene(width: int, height: int, seed: int = 0) -> Image.Image:
    """Return a smooth RGB picture without symmetry, somewhat like a photograph."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    x, y = x / max(width, 2), y / max(height, 2)
    phase = np.random.default_rng(seed).uniform(0, 3, 3)
    planes = [
        120 + 90 * np.sin(5 * x + phase[0]) * np.cos(3 * y),
        90 + 100 * x + 40 * y + 20 * np.sin(9 * y + phase[1]),
        200 - 150 * y + 30 * np.cos(7 * x * y + phase[2]),
    ]
    return Image.fromarray(np.clip(np.stack(planes, axis=-1), 0, 255).astype(np.uint8))


def encode(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """Return the file of a picture."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def oriented(turn: int) -> Image.Exif:
    """Return EXIF that says only the orientation."""
    exif = Image.Exif()
    exif[0x0112] = turn
    return exif


def chunk(name: bytes, data: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_chunks(png: bytes, chunks: bytes, *, late: bool = False) -> bytes:
    """Return a PNG with more chunks, after its header or before its end."""
    at = len(png) - 12 if late else 33
    return png[:at] + chunks + png[at:]
