"""Reads images that may be hostile: header, texts and pixels, within bounds of time and memory.

The answer for a file depends on its bytes, the wanted size and the limits, never on which optional packages are installed:
Pillow alone decodes. What becomes of each kind of picture:

- JPEG is decoded at 1/2, 1/4 or 1/8 where that is still no smaller than asked.
- EXIF orientation is applied (also PNG's and WebP's); then edges are trimmed, to whole pixels, of which one always stays.
- Several frames or pages: the first.
- Palette colours are looked up; 1-bit is black and white; grey is repeated to RGB.
- Alpha, or a transparent colour, lies over white.
- 16-bit numbers keep their upper eight bits; 32-bit integers are stretched from least to greatest; so are floats, unless
  all lie in 0 to 1, which becomes 0 to 255; what is no number is 0.
- CMYK and YCbCr are converted by Pillow's formulas, LAB through sRGB; embedded colour profiles are kept out of it.
- A truncated file is an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoal.errors import ImageError, ShoalError, UsageError
from shoal.images.codec.model import MAX_PIXELS, Limits, Probe, Refused, TargetLike, check_bytes
from shoal.images.guard import ImageTimeout
from shoal.images.inline import bounded, quiet

if TYPE_CHECKING:
    from shoal.contract import ImageSpec, Pixels

__all__ = ["IMAGE_VERSION", "MAX_PIXELS", "ImageTimeout", "Limits", "Loaded", "Probe", "decode", "load", "probe", "read"]

IMAGE_VERSION = "1"
"""Raise it when the same bytes and `ImageSpec` would give other pixels; part of the fingerprint of who wants pixels."""


@dataclass(frozen=True)
class Loaded:
    """An image read once.

    Attributes:
        probe: what its header says.
        images: one uint8 array (height, width, 3) for each `ImageSpec` asked for, in order.
    """

    probe: Probe
    images: "tuple[Pixels, ...]"


def probe(data: bytes, limits: Limits = Limits()) -> Probe:  # noqa: B008  (frozen)
    """Return what the header says; no pixel is decoded.

    Raises:
        ImageError: the bytes are no image within the limits.
    """
    return _read(data, (), True, limits).probe


def decode(data: bytes, spec: "ImageSpec", limits: Limits = Limits()) -> "Pixels":  # noqa: B008
    """Return the pixels that a stage wants: uint8 of shape (height, width, 3), writable.

    Raises:
        ImageError: the bytes are no image within the limits.
    """
    return _read(data, (spec,), False, limits).images[0]


def read(data: bytes, specs: "Sequence[ImageSpec]" = (), limits: Limits = Limits()) -> Loaded:  # noqa: B008
    """Return the header's facts and the pixels of every spec, from one reading.

    A spec's pixels are the same whichever others are asked for with it.

    Raises:
        ImageError: the bytes are no image within the limits.
    """
    return _read(data, specs, True, limits)


def load(path: str, specs: "Sequence[ImageSpec]" = (), limits: Limits = Limits()) -> Loaded:  # noqa: B008
    """Return `read` of a local path or URI.

    Raises:
        ImageError: the file can't be read, or is no image within the limits.
    """
    from shoal.sources import read_bytes

    return read(read_bytes(path, limits.max_file_bytes), specs, limits)


_EMPTY = Probe(0, 0, "", "", 0)


def _read(data: bytes, specs: "Sequence[TargetLike]", wanted: bool, limits: Limits) -> Loaded:
    distinct = list(dict.fromkeys(specs))
    for spec in distinct:
        _check_spec(spec)
    try:
        check_bytes(data, limits)
        with quiet():
            found = _inline(data, distinct, wanted, limits) or _guarded(data, distinct, wanted, limits)
    except Refused as error:
        raise ImageError(str(error)) from None
    except MemoryError:
        raise ImageError("there is not enough memory to read it") from None
    except ShoalError:
        raise
    except Exception as error:  # the last resort: whatever an image does to Pillow is that image's error
        raise ImageError(f"it can't be read: {type(error).__name__}") from error
    return Loaded(found.probe, tuple(found.images[distinct.index(spec)] for spec in specs))


def _check_spec(spec: "TargetLike") -> None:
    known = spec.fit in ("stretch", "crop", "inside") and spec.resample in ("bilinear", "bicubic", "lanczos")
    if not known or spec.width < 1 or spec.height < 1 or not 1 <= spec.overscan <= 100:
        raise UsageError(f"{spec} can't be made: sizes are at least 1, overscan is 1 to 100, fit and resample as listed")
    top, bottom, left, right = spec.trim
    if not (min(spec.trim) >= 0 and top + bottom < 1 and left + right < 1):
        raise UsageError(f"{spec} can't be made: what is trimmed at two opposite edges is at least 0 and below 1 in sum")


def _inline(data: bytes, targets: "Sequence[TargetLike]", wanted: bool, limits: Limits) -> Loaded | None:
    """Read in this process where the header bounds the cost; None where it does not."""
    from shoal.images.codec.opening import describe
    from shoal.images.codec.rendering import render

    image = bounded(data, bool(targets), limits)
    if image is None:
        return None
    import numpy as np

    facts = describe(image, data, limits) if wanted else _EMPTY
    return Loaded(facts, tuple(np.array(picture) for picture in render(image, data, targets, limits)))


def _guarded(data: bytes, targets: "Sequence[TargetLike]", wanted: bool, limits: Limits) -> Loaded:
    """Read in the guarded child."""
    from shoal.images import guard

    reply, pixels = guard.ask(data, targets, wanted, limits)
    import numpy as np

    images, at = [], 0
    for height, width in reply["shapes"]:
        images.append(np.frombuffer(pixels, np.uint8, height * width * 3, at).reshape(height, width, 3))
        at += height * width * 3
    facts = _EMPTY
    if wanted:
        facts = Probe(**{**reply["probe"], "exif": tuple((name, text) for name, text in reply["probe"]["exif"])})
    return Loaded(facts, tuple(images))
