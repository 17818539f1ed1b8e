"""A folder that people work in, written to with care: whole files or none, and nothing of theirs replaced unasked."""

import json
import os
import shutil
import stat
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from shoal.errors import StoreError, UsageError

OURS = ".shoal-export"
"""Folder inside the export: the lock, files on their way, and what was written before (`files.json`)."""

BOOK = "files.json"
"""What was written before: by kind of export, its files and how they were."""

MANY = 500
"""From so many files on, one flush of every disk is quicker than waiting for each file."""

Stamp = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds: whether a file is still as it was written."""


@contextmanager
def publishing(folder: Path, how: str, force: bool) -> Iterator[Path]:
    """Give an empty folder to write files into; when the block ends well they appear in `folder`, each whole.

    Files may lie in folders. Files of the last export of this kind that this one does not write go away, as they would tell
    of another run, and so do folders that are empty then. What fails leaves nothing behind.

    Args:
        folder: is made where it does not exist.
        how: kind of the export; kinds do not touch each other's files.
        force: replace files that something else wrote, or that were changed since.

    Raises:
        UsageError: a file would be replaced that is not an earlier export's, or was changed since; or a folder of the
            export is a link or a file there.
        StoreError: the folder can't be written, or another export is at work in it.
    """
    from filelock import FileLock, Timeout

    own = folder / OURS
    made = [place for place in (own, folder, *folder.parents) if not os.path.lexists(place)]
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
            except BaseException:
                if own in made and not (own / BOOK).exists():
                    (own / "lock").unlink()
                raise
            finally:
                shutil.rmtree(new, ignore_errors=True)
    except Timeout as error:
        raise StoreError(f"another export is writing to {folder}; wait for it to end") from error
    except OSError as error:
        raise StoreError(f"{folder} can't be written: {error.strerror or error}") from error
    finally:
        for place in made:  # those in which something was published are not empty
            with suppress(OSError):
                place.rmdir()


def _publish(new: Path, folder: Path, how: str, force: bool) -> None:
    book = _read_book(folder)
    before = book.get(how, {})
    names = list(_names(new))
    if not force:
        known: dict[str, list[Stamp]] = {}
        for name, stamps in (entry for files in book.values() for entry in files.items()):
            known.setdefault(name, []).extend(stamps)  # two kinds of export may share a file
        _refuse_foreign_folders(folder, [*names, *before])
        _refuse_foreign(folder, [*names, *before], known)
    _sync_all(new, names)
    written = {name: [_stamp(new / name)] for name in names}
    # Both old and new are known for a moment, so that an export killed from here on can simply be repeated.
    both = {name: before.get(name, []) + written.get(name, []) for name in [*before, *names]}
    _write_book(folder, {**book, how: both})
    for place in _folders(names):
        _make_folder(folder / place)
    for name in names:
        os.replace(new / name, folder / name)
    _remove(folder, before.keys() - written.keys())
    _write_book(folder, {**book, how: written})
    for place in ("", *_folders(names)):
        _sync(folder / place)


def _names(new: Path, below: str = "") -> Iterator[str]:
    """Yield the files of a folder and of the folders in it, as paths below it with `/`, sorted."""
    with os.scandir(new / below) as entries:
        found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_folder in found:
        if is_folder:
            yield from _names(new, f"{below}{name}/")
        else:
            yield f"{below}{name}"


def _folders(names: Iterable[str]) -> list[str]:
    """Return the folders that files lie in, the outer before the inner."""
    parents = {name.rpartition("/")[0] for name in names}
    every = {str(place) for parent in parents for place in (PurePosixPath(parent), *PurePosixPath(parent).parents)}
    return sorted(every - {"."})


def _refuse_foreign_folders(folder: Path, names: Iterable[str]) -> None:
    """Refuse to go through links: what lies behind one is somewhere else."""
    for place in _folders(names):
        path = folder / place
        if os.path.lexists(path) and not _is_folder(path):
            raise UsageError(
                f"{path} is no folder, and the export has files for one; choose another folder, or replace it with --force"
            )


def _refuse_foreign(folder: Path, names: Iterable[str], known: Mapping[str, list[Stamp]]) -> None:
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


def _make_folder(path: Path) -> None:
    """Make a folder; a link or file in its place is one that --force replaces."""
    if os.path.lexists(path) and not _is_folder(path):
        path.unlink()
    path.mkdir(exist_ok=True)


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def _remove(folder: Path, names: Collection[str]) -> None:
    """Remove files that an export no longer has, and the folders that are empty then; never through a link."""
    places = _folders(names)
    behind = {place for place in places if os.path.lexists(folder / place) and not _is_folder(folder / place)}
    for name in names:
        if not behind.intersection(_folders([name])):
            (folder / name).unlink(missing_ok=True)
    for place in reversed(places):
        with suppress(OSError):
            (folder / place).rmdir()


def _sync_all(new: Path, names: Sequence[str]) -> None:
    if len(names) >= MANY:
        os.sync()
        return
    for name in names:
        _sync(new / name)


def _stamp(path: Path) -> Stamp:
    found = path.lstat()
    return found.st_size, found.st_mtime_ns


def _read_book(folder: Path) -> dict[str, dict[str, list[Stamp]]]:
    try:
        data = json.loads((folder / OURS / BOOK).read_text(encoding="utf-8"))
        return {how: {str(name): [(int(size), int(time)) for size, time in stamps] for name, stamps in files.items()}
                for how, files in data.items()}  # fmt: skip
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}  # without it every file counts as somebody else's


def _write_book(folder: Path, book: Mapping[str, Mapping[str, list[Stamp]]]) -> None:
    path = folder / OURS / BOOK
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(book, sort_keys=True), encoding="utf-8")
    _sync(temporary)
    os.replace(temporary, path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
