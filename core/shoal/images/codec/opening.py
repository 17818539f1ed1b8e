"""Opens an image from bytes: header, frames, orientation; decodes no pixel."""

import importlib
import io
import re
from typing import TYPE_CHECKING

from .metadata import texts
from .model import FORMATS, Limits, Probe, Refused, check_bytes, check_pixels, webp_size

if TYPE_CHECKING:
    from PIL.Image import Exif, Image
    from PIL.ImageFile import ImageFile

_MODULES = {
    "JPEG": "JpegImagePlugin", "PNG": "PngImagePlugin", "WEBP": "WebPImagePlugin", "BMP": "BmpImagePlugin",
    "TIFF": "TiffImagePlugin", "GIF": "GifImagePlugin",
}  # fmt: skip
_ORIENTATION = 0x0112
_MAX_EXIF = 1 << 16
"""Bytes of EXIF that are parsed: what one JPEG segment holds. A larger block is only ever made to hurt."""


def reason(error: BaseException) -> str:
    """Return an exception's text as a part of a sentence: no addresses, control characters, or great length."""
    text = re.sub(r"<[^>]*>|\b0x[0-9a-fA-F]+", "", str(error))
    text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())[:160].rstrip(".") or type(error).__name__


def plugins(formats: tuple[str, ...]) -> None:
    """Import the Pillow plugins of the formats, and none of the forty others where shoal's own are asked for."""
    for name in formats:
        if name in _MODULES:
            importlib.import_module(f"PIL.{_MODULES[name]}")


def open_image(data: bytes, limits: Limits) -> "ImageFile":
    """Return Pillow's image with its header read and checked.

    Raises:
        Refused: not an image of an allowed format, a broken header, or too many pixels.
    """
    from PIL import Image, UnidentifiedImageError

    formats = check_bytes(data, limits)
    plugins(formats)
    if formats[0] == "WEBP":
        check_pixels(*webp_size(data), limits)
    kind = formats[0] if formats[0] in FORMATS else "image"
    try:
        image = Image.open(io.BytesIO(data), formats=formats)
    except UnidentifiedImageError:
        raise Refused(f"its {kind} header is broken") from None
    except Image.DecompressionBombError:
        raise Refused(f"it has more than the allowed {limits.max_pixels} pixels") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise whatever their parsing meets
        raise Refused(f"its {kind} header is broken: {reason(error)}") from error
    check_pixels(image.width, image.height, limits)
    return image


def exif_of(image: "Image", data: bytes) -> "Exif":
    """Return the EXIF of an opened image; empty where there is none or it is broken. Decodes no pixel."""
    from PIL import Image

    raw = image.info.get("exif")
    if raw is None and image.format == "PNG":
        raw = _late_exif(data)
        if raw is not None and len(raw) <= _MAX_EXIF:
            image.info["exif"] = raw
    if raw is not None and len(raw) > _MAX_EXIF:
        return Image.Exif()
    try:
        # The base method: PNG's own decodes all pixels to look for a late chunk.
        exif = Image.Image.getexif(image)
        exif.get(_ORIENTATION)
    except MemoryError:
        raise
    except Exception:  # broken EXIF never costs an image
        return Image.Exif()
    return exif


def _late_exif(data: bytes) -> bytes | None:
    """Return the eXIf chunk that some writers put after the pixels of a PNG."""
    at = 8
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"eXIf":
            return data[at + 8 : at + 8 + length]
        at += 12 + length
    return None


def orientation(image: "Image", exif: "Exif") -> int:
    """Return the orientation that is still to be applied, 1 to 8. Pillow's TIFF reader turns the picture by itself."""
    if image.format == "TIFF":
        return 1
    value = exif.get(_ORIENTATION)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def describe(image: "ImageFile", data: bytes, limits: Limits) -> Probe:
    """Return what the header of an opened image says."""
    exif = exif_of(image, data)
    width, height = image.size
    if orientation(image, exif) > 4:
        width, height = height, width
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    return Probe(width, height, kind, image.mode, _frames(image, data, limits), texts(image, exif))


def _frames(image: "ImageFile", data: bytes, limits: Limits) -> int:
    """Return the number of frames; where counting walks the file, a second image does it, and the first stays put."""
    try:
        walks = image.format in ("GIF", "TIFF")
        return max(1, int(getattr(open_image(data, limits) if walks else image, "n_frames", 1)))
    except MemoryError:
        raise
    except Exception:  # later frames are broken: the first may well be whole
        return 1
