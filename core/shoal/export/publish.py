"""A folder that people work in, written to with care: whole files or none, and nothing of theirs replaced unasked."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from shoal.errors import StoreError, UsageError

OURS = ".shoal-export"
"""Folder inside the export: the lock, files on their way, and what was written before (`files.json`)."""

Stamp = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds: whether a file is still as it was written."""


@contextmanager
def publishing(folder: Path, how: str, force: bool) -> Iterator[Path]:
    """Give an empty folder to write files into; when the block ends well they appear in `folder`, each whole.

    Files of the last export of this kind that this one does not write go away, as they would tell of another run.

    Args:
        folder: is made where it does not exist.
        how: kind of the export; kinds do not touch each other's files.
        force: replace files that something else wrote, or that were changed since.

    Raises:
        UsageError: a file would be replaced that is not an earlier export's, or was changed since.
        StoreError: the folder can't be written, or another export is at work in it.
    """
    from filelock import FileLock, Timeout

    own = folder / OURS
    try:
        own.mkdir(parents=True, exist_ok=True)
        with FileLock(own / "lock", timeout=0):
            for left in own.glob("new-*"):  # of an export that was killed
                shutil.rmtree(left)
            new = own / f"new-{uuid.uuid4().hex}"
            new.mkdir()
            try:
                yield new
                _publish(new, folder, how, force)
            finally:
                shutil.rmtree(new, ignore_errors=True)
    except Timeout as error:
        raise StoreError(f"another export is writing to {folder}; wait for it to end") from error
    except OSError as error:
        raise StoreError(f"{folder} can't be written: {error.strerror or error}") from error


def _publish(new: Path, folder: Path, how: str, force: bool) -> None:
    book = _read_book(folder)
    before = book.get(how, {})
    names = sorted(path.name for path in new.iterdir())
    if not force:
        known: dict[str, list[Stamp]] = {}
        for name, stamps in (entry for files in book.values() for entry in files.items()):
            known.setdefault(name, []).extend(stamps)  # two kinds of export may share a file
        _refuse_foreign(folder, [*names, *before], known)
    for name in names:
        _sync(new / name)
    written = {name: [_stamp(new / name)] for name in names}
    # Both old and new are known for a moment, so that an export killed from here on can simply be repeated.
    both = {name: before.get(name, []) + written.get(name, []) for name in [*before, *names]}
    _write_book(folder, {**book, how: both})
    for name in names:
        os.replace(new / name, folder / name)
    for name in before.keys() - written.keys():
        (folder / name).unlink(missing_ok=True)
    _write_book(folder, {**book, how: written})
    _sync(folder)


def _refuse_foreign(folder: Path, names: list[str], known: Mapping[str, list[Stamp]]) -> None:
    for name in names:
        path = folder / name
        if not os.path.lexists(path):
            continue
        if name not in known:
            raise UsageError(
                f"{path} exists and is not from an earlier export; choose another folder, or replace it with --force"
            )
        if _stamp(path) not in known[name]:
            raise UsageError(f"{path} was changed since it was exported; choose another folder, or replace it with --force")


def _stamp(path: Path) -> Stamp:
    found = path.lstat()
    return found.st_size, found.st_mtime_ns


def _read_book(folder: Path) -> dict[str, dict[str, list[Stamp]]]:
    try:
        data = json.loads((folder / OURS / "files.json").read_text(encoding="utf-8"))
        return {how: {str(name): [(int(size), int(time)) for size, time in stamps] for name, stamps in files.items()}
                for how, files in data.items()}  # fmt: skip
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}  # without it every file counts as somebody else's


def _write_book(folder: Path, book: Mapping[str, Mapping[str, list[Stamp]]]) -> None:
    path = folder / OURS / "files.json"
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(book, indent=1, sort_keys=True), encoding="utf-8")
    _sync(temporary)
    os.replace(temporary, path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
