"""Reads a run's images wherever it goes on, and tells a machine that does not see them from images that are gone."""

import platform
from collections.abc import Iterable, Sequence
from itertools import islice

from shoal.errors import StoreError, UsageError
from shoal.images import Limits
from shoal.sources import Unreadable, Unseen, read_bytes, stat

LANDMARKS, LOOKED_AT = 3, 16


def landmarks(paths: Iterable[str]) -> tuple[str, ...]:
    """Return a few files that the driver sees: a worker that misses a file looks whether it sees any of these.

    Args:
        paths: of the images; no more than the first few are looked at.

    Raises:
        StoreError: their disk or object store does not answer.
    """
    return tuple(islice(filter(_is_seen, islice(paths, LOOKED_AT)), LANDMARKS))


def read_image(path: str, limits: Limits, landmarks: Sequence[str]) -> bytes:
    """Return the content of an image's file.

    A file that is not there may have been removed, or this machine may lack the mount or the keys of all images: then it
    would reject one after the other, and be quicker at that than others are with work. The files that the driver saw tell
    the one from the other. They are looked at only where a file is missing; without any of them (the driver saw none
    either), the file is taken for gone.

    Raises:
        ImageError: it can't be read.
        StoreError: this machine does not see the images, or their store does not answer.
    """
    try:
        return read_bytes(path, limits.max_file_bytes)
    except Unseen as error:
        if landmarks and not any(map(_is_seen, landmarks)):
            raise StoreError(
                f"{error}, and so it is with other images, on {platform.node()}; mount their folder there, or give it their "
                "keys, and the same command goes on"
            ) from error
        raise


def _is_seen(path: str) -> bool:
    try:
        return stat(path).kind == "file"
    except (Unreadable, UsageError):
        return False
