"""Hashes of files that options point at, so that a changed file is another stage."""

import hashlib
from functools import lru_cache
from pathlib import Path

from shoal.errors import StageError


def absolute(path: str) -> str:
    """Return a path that means the same in every worker, whatever folder that runs in."""
    return str(Path(path).expanduser().absolute())


def file_hash(path: Path) -> str:
    """Return the sha256 of a file; hashed again only after its size or time of change differs.

    Raises:
        StageError: the file is missing or can't be read.
    """
    try:
        state = path.stat()
        return _hash(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise StageError(f"{path} can't be read ({error.strerror or error}); correct the path in the pipeline") from error


@lru_cache(maxsize=1024)  # a large model has some hundred files, and each is asked for often
def _hash(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
