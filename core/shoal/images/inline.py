"""Says which images may be decoded in this process: those whose header bounds what they cost."""

import math
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shoal.images.codec.model import MAX_PIXELS, Limits, sniff, webp_size

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_FORMATS = ("JPEG", "PNG", "WEBP")
"""Their decoders are C, with a cost that grows with pixels and bytes; other readers loop in Python or seek about."""
_MAX_BYTES = 8 * 2**20
_MAX_PIXELS = 32 * 10**6
_MIN_SECONDS = 5.0
_MIN_MEMORY = 2**30
"""Within the sizes above the worst file known takes 3 s and 0.5 GB; who allows less gets the child's bounds for all."""
_MAX_WORK = 64 * 10**6
"""Pixels times scans of a JPEG. A progressive photo has about ten scans; thousands over one picture are an attack."""

_lock = threading.Lock()
_users = 0
_catcher: "warnings.catch_warnings[None] | None" = None


def bounded(data: bytes, pixels: bool, limits: Limits) -> "ImageFile | None":
    """Return the opened image where this process may read it, else None.

    Args:
        data: the file's bytes.
        pixels: whether its pixels are wanted, not only its header.
        limits: which formats, sizes and times are allowed.

    Raises:
        Refused: it is no image within the limits.
    """
    if not _plain(data, limits):
        return None
    from shoal.images.codec.opening import open_image

    image = open_image(data, limits)
    if not pixels:
        return image
    area = image.width * image.height
    if area > _MAX_PIXELS or area * _scans(image, data) > _MAX_WORK:
        return None
    return image


def _plain(data: bytes, limits: Limits) -> bool:
    """Tell whether its format and size, and the limits, let this process look at the header."""
    kind = sniff(data)
    if limits.isolate == "always" or kind not in _FORMATS or len(data) > _MAX_BYTES:
        return False
    if limits.seconds < _MIN_SECONDS or limits.memory < _MIN_MEMORY:
        return False
    # Above Pillow's own bound only the child may go, which can lift it.
    return limits.max_pixels <= MAX_PIXELS and not (kind == "WEBP" and math.prod(webp_size(data)) > _MAX_PIXELS)


def _scans(image: "ImageFile", data: bytes) -> int:
    """Return an upper bound of the passes over the picture that decoding takes."""
    if image.format not in ("JPEG", "MPO"):
        return 1
    # Pillow has read up to the first start of scan. One that names every component of a sequential picture is the only one.
    parts = getattr(image, "layers", 0)
    start = (image.fp.tell() if image.fp else 0) - 8 - 2 * parts
    alone = start > 0 and data[start : start + 2] == b"\xff\xda" and data[start + 4] == parts
    if alone and not image.info.get("progressive"):
        return 1
    return max(1, data.count(b"\xff\xda"))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what Pillow warns of while any thread reads an image: a warning is no answer, and may be set to raise.

    `warnings.catch_warnings` alone is not safe with threads: the first that enters sets the filters, the last one out
    restores them.
    """
    global _users, _catcher  # noqa: PLW0603  (the warning filters that it counts are global too)
    with _lock:
        _users += 1
        if _users == 1:
            _catcher = warnings.catch_warnings()
            _catcher.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL(\.|$)|shoal\.images")
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _catcher is not None:
                _catcher.__exit__(None, None, None)
                _catcher = None


def _forget() -> None:
    """Start anew in a forked process: a thread that is not in it may have held the lock."""
    global _lock, _users, _catcher
    _lock, _users, _catcher = threading.Lock(), 0, None


os.register_at_fork(after_in_child=_forget)
