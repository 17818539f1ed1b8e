"""Single files: hashed, copied through a temporary name, published without ever replacing anything."""

import contextlib
import ctypes
import errno
import functools
import hashlib
import io
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from shoal.journal.steps import step

STOPS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
"""Errors of the target after which nothing else will work either."""

CHANGED = "it changed since it was indexed (its bytes have another sha256); index it again"

CHANGED_SIDECAR = "it changed while files were organised; it was left alone, organise again to take it along"

_NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES})
_NO_FLAG = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
_BLOCK = 1 << 20


class RefusedError(Exception):
    """This one file is left alone; the message says why."""


class StoppedError(Exception):
    """The target takes no more files."""

    def __init__(self, error: OSError) -> None:
        """Keep the cause."""
        super().__init__(error.strerror)
        self.error = error


def sha256_of(path: Path | str) -> str:
    """Return the sha256 of a regular file's bytes as 64 hex digits.

    Raises:
        RefusedError: the path is no regular file.
        OSError: it can't be read.
    """
    with _opened(path) as (file, state):
        return _digest(file, state)


@contextlib.contextmanager
def _opened(path: Path | str) -> Iterator[tuple[io.FileIO, os.stat_result]]:
    """Open a regular file for reading and tell its state; a pipe that nobody writes to does not hold the caller up."""
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            raise RefusedError("it is no regular file")
        yield io.FileIO(fd, closefd=False), state
    finally:
        os.close(fd)


def _digest(file: io.FileIO, state: os.stat_result, each: "Callable[[memoryview], None] | None" = None) -> str:
    digest = hashlib.sha256()
    view = memoryview(bytearray(min(state.st_size + 4096, _BLOCK)))
    while size := file.readinto(view):
        digest.update(view[:size])
        if each is not None:
            each(view[:size])
    return digest.hexdigest()


def holds(path: Path, sha256: str) -> bool:
    """Tell whether `path` itself, not what a link there points to, is a regular file of these bytes."""
    try:
        return stat.S_ISREG(path.lstat().st_mode) and sha256_of(path) == sha256
    except (FileNotFoundError, NotADirectoryError, RefusedError):
        return False


def same_entry(one: Path, other: Path) -> bool:
    """Tell whether two paths are one directory entry, so that removing the one would remove the other."""
    try:
        a, b = one.lstat(), other.lstat()
    except OSError:
        return False
    if (a.st_dev, a.st_ino) != (b.st_dev, b.st_ino):
        return False
    # A file system that folds case or composition has two spellings of one entry: same file, a single link.
    first, second = (os.path.join(os.path.realpath(path.parent), path.name) for path in (one, other))
    return a.st_nlink == 1 or first.casefold() == second.casefold()


def copy_to(source: Path, temp: Path, sha256: str) -> os.stat_result:
    """Copy bytes, permissions, extended attributes and times to the new file `temp`, and put it on disk.

    Returns:
        The source's state as it was opened.

    Raises:
        RefusedError: the bytes are not those of `sha256`, or the source is no regular file; `temp` is gone then.
        StoppedError: the target is full, read-only or broken; `temp` is gone then.
        OSError: the source can't be read.
    """
    with _opened(source) as (reader, before):
        with _target_errors():
            fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        try:
            step("temp")
            if _digest(reader, before, lambda block: _write(fd, block)) != sha256:
                raise RefusedError(CHANGED)
            with _target_errors():
                shutil.copystat(source, temp)
                os.fsync(fd)
        except BaseException:
            os.close(fd)
            with contextlib.suppress(OSError):
                temp.unlink()
            raise
        os.close(fd)
    step("synced")
    return before


def _write(fd: int, block: memoryview) -> None:
    with _target_errors():
        while block:
            block = block[os.write(fd, block) :]


@contextlib.contextmanager
def _target_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in STOPS:
            raise StoppedError(error) from error
        raise


def publish(temp: Path, target: Path) -> None:
    """Give the file `temp` its final name, in one step and without replacing what may be there.

    Raises:
        FileExistsError: something has that name.
        StoppedError: the target is full, read-only or broken.
    """
    with _target_errors():
        if not _rename_noreplace(temp, target):
            os.link(temp, target)
            step("linked")
            temp.unlink()


def link_to(source: Path, target: Path, sha256: str) -> os.stat_result | None:
    """Give the source a second name without replacing anything; None where this file system or pair of them can't.

    Raises:
        RefusedError: its bytes are not those of `sha256`, or it was replaced while it was read.
        FileExistsError: something has that name.
        StoppedError: the target is full, read-only or broken.
    """
    real = source.resolve() if source.is_symlink() else source
    with _opened(real) as (reader, before):
        if _digest(reader, before) != sha256:
            raise RefusedError(CHANGED)
    try:
        with _target_errors():
            os.link(real, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno in _NO_LINK:
            return None
        raise
    after = target.lstat()
    if (after.st_dev, after.st_ino) != (before.st_dev, before.st_ino):
        target.unlink()
        raise RefusedError("the source was replaced while it was read; index it again")
    return before


@functools.cache
def _renameat2() -> "Callable[..., int] | None":
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def _rename_noreplace(source: Path, target: Path) -> bool:
    """Rename with RENAME_NOREPLACE (Linux; other systems and file systems without it: False)."""
    call = _renameat2()
    if call is None:
        return False
    at_cwd, noreplace = -100, 1
    if call(at_cwd, os.fsencode(source), at_cwd, os.fsencode(target), noreplace) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_FLAG:
        return False
    raise OSError(number, os.strerror(number), str(source), None, str(target))
