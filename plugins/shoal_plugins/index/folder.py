"""`index.folder`: lists the images of a folder or of a prefix of an object store."""

import os
import stat as modes
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal

import pyarrow as pa
from pydantic import BeforeValidator, Field, PrivateAttr

from shoal import sources
from shoal.contract import Stage
from shoal.errors import UsageError
from shoal.hooks import hookimpl
from shoal.kinds import Indexer
from shoal_plugins.index._rows import Rows

_OWN = {"shoal.json", ".shoal"}
"""Whoever holds one of these is a folder that shoal wrote: its pictures were listed already."""


def _split(value: object) -> object:
    """Take `a, b` for `[a, b]`."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_split)]


class FolderIndexer(Indexer):
    """Lists the images in a folder and the folders below it, or under a prefix of an object store (`s3://`).

    Every file that is seen becomes a row: accepted, or left out with the reason. A folder that is not entered (excluded,
    hidden, a symbolic link, shoal's own output) is one such row. Rows come folder by folder, sorted by name; the names of
    one folder at a time are held in memory, so that folders within folders may hold any number of files. For tens of
    millions of files in one place, or where a table of them exists, take `index.table`, which lists nothing.

    `formats` looks at the name only. What a file really is, its content decides when it is read.
    """

    name: ClassVar[str] = "folder"

    formats: Words = Field(
        ("jpg", "jpeg", "png", "webp", "bmp", "tiff", "tif"),
        min_length=1,
        description="File extensions that are taken, in any case, without dot. `gif` is read too, where it is added here; "
        "`*` takes every file, and its content decides.",
    )
    min_kb: float = Field(0, ge=0, description="Smallest file in KB of 1024 bytes; 0 is no limit.")
    max_mb: float = Field(-1, ge=-1, description="Largest file in MB of 1024 KB; -1 is no limit.")
    exclude: Words = Field(
        (),
        description="Folders that are left out: a name (`tmp`), a path below the source (`a/tmp`), or a pattern (`old*`).",
    )
    recursive: bool = Field(True, description="Whether to enter the folders below.")
    max_depth: int | None = Field(
        None, ge=0, description="How many folders deep to go; 0 is the source itself, null no limit."
    )
    symlinks: Literal["skip", "follow"] = Field(
        "skip", description="`follow` takes the files and folders that symbolic links inside the source lead to."
    )
    outside: bool = Field(False, description="With `symlinks: follow`, whether a link may lead out of the source.")
    hidden: bool = Field(False, description="Whether to take files and folders whose name begins with a dot.")

    _wanted: frozenset[str] | None = PrivateAttr(None)

    def list_files(self, source: str) -> Iterator[pa.Table]:
        """Yield the listing, sorted folder by folder."""
        entry = sources.stat(source)
        if entry.kind == "missing":
            raise UsageError(f"{source} does not exist; name a folder, a file, or a URI such as s3://bucket/folder")
        place, rows = sources.absolute(source), Rows()
        if entry.kind != "folder":
            rows.add(place, entry.bytes, entry.mtime_ns, reason=self._file_reason(sources.name_of(place), entry.bytes or 0))
            yield from rows.rest()
            return
        walk = _Local(self, place, rows).walk() if sources.is_local(source) else self._walk_remote(place, rows)
        yield from walk
        yield from rows.rest()

    def file_reason(self, name: str, size: int) -> str | None:
        """Return why a file is left out, or None."""
        if name.startswith(".") and not self.hidden:
            return "it is hidden (its name begins with a dot)"
        return self._file_reason(name, size)

    def _file_reason(self, name: str, size: int) -> str | None:
        if self._wanted is None:
            self._wanted = frozenset(f".{word.lower().lstrip('.')}" for word in self.formats)
        extension = os.path.splitext(name)[1].lower()
        if extension not in self._wanted and ".*" not in self._wanted:
            return f"its extension {extension!r} is not among the formats" if extension else "it has no extension"
        if size < self.min_kb * 1024:
            return f"it is smaller than {self.min_kb:g} KB"
        if 0 <= self.max_mb * 2**20 < size:
            return f"it is larger than {self.max_mb:g} MB"
        return None

    def folder_reason(self, relative: str, depth: int) -> str | None:
        """Return why a folder below the source is not entered, or None.

        Args:
            relative: its path below the source, with `/`.
            depth: 1 for a folder directly in the source.
        """
        name = relative.rpartition("/")[2]
        if name.startswith(".") and not self.hidden:
            return "the folder is hidden (its name begins with a dot)"
        if any(fnmatchcase(name, word) or fnmatchcase(relative, word.strip("/")) for word in self.exclude):
            return "the folder is excluded"
        if not self.recursive:
            return "the folder is not entered (recursive is off)"
        if self.max_depth is not None and depth > self.max_depth:
            return f"the folder lies deeper than {self.max_depth} folders"
        return None

    def _walk_remote(self, root: str, rows: Rows) -> Iterator[pa.Table]:
        stack = [("", iter(sources.list_folder(root)))]
        while stack:
            relative, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                continue
            name = sources.name_of(entry.path)
            if entry.kind != "folder":
                rows.add(entry.path, entry.bytes, entry.mtime_ns, reason=self.file_reason(name, entry.bytes or 0))
                yield from rows.full()
                continue
            below = f"{relative}/{name}".strip("/")
            reason = self.folder_reason(below, len(stack))
            inside = [] if reason else sources.list_folder(entry.path)
            if _OWN & {sources.name_of(one.path) for one in inside}:
                reason = "the folder was written by shoal"
            if reason:
                rows.add(entry.path, reason=reason)
            else:
                stack.append((below, iter(inside)))


class _Local:
    """One walk over a local folder."""

    def __init__(self, options: FolderIndexer, root: str, rows: Rows) -> None:
        self.options, self.root, self.rows = options, root, rows
        self.real_root = os.path.realpath(root)
        self.entered: set[tuple[int, int]] = set()

    def walk(self) -> Iterator[pa.Table]:
        """Yield tables, depth first, names sorted."""
        try:
            stack = [("", self._scan(self.root))]
        except OSError as error:
            raise UsageError(f"{self.root} can't be listed: {error.strerror}") from error
        while stack:
            relative, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
            else:
                below = self._visit(entry, relative, len(stack))
                if below is not None:
                    stack.append((f"{relative}/{entry.name}".lstrip("/"), below))
                yield from self.rows.full()

    def _scan(self, folder: str) -> Iterator["os.DirEntry[str]"]:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
        if folder != self.root and any(entry.name in _OWN for entry in entries):
            raise _OwnFolder
        if self.options.symlinks == "follow":
            have = os.stat(folder)
            self.entered.add((have.st_dev, have.st_ino))
        return iter(entries)

    def _visit(self, entry: "os.DirEntry[str]", relative: str, depth: int) -> "Iterator[os.DirEntry[str]] | None":
        """Add the row of a file, or return the entries of a folder that is to be entered."""
        try:
            if entry.is_symlink() and (reason := self._link_reason(entry)):
                self.rows.add(entry.path, reason=reason)
            elif entry.is_dir():
                return self._enter(entry, f"{relative}/{entry.name}".lstrip("/"), depth)
            else:
                self._file(entry)
        except OSError as error:
            gone = isinstance(error, FileNotFoundError)
            reason = "it vanished, or is a symbolic link to nothing" if gone else f"it can't be looked at: {error.strerror}"
            self.rows.add(entry.path, reason=reason, failed=True)
        return None

    def _link_reason(self, entry: "os.DirEntry[str]") -> str | None:
        if self.options.symlinks == "skip":
            return "it is a symbolic link (symlinks is skip)"
        target = os.path.realpath(entry.path)
        inside = target == self.real_root or target.startswith(self.real_root.rstrip("/") + "/")
        if not inside and not self.options.outside:
            return "it is a symbolic link that leads out of the source (outside is off)"
        if inside and os.path.isdir(target):
            return "it is a symbolic link to a folder of the source, which is listed in its own place"
        return None

    def _enter(self, entry: "os.DirEntry[str]", relative: str, depth: int) -> "Iterator[os.DirEntry[str]] | None":
        reason = self.options.folder_reason(relative, depth)
        if reason is None and self.options.symlinks == "follow":
            have = os.stat(entry.path)
            if (have.st_dev, have.st_ino) in self.entered:
                reason = "the folder was listed already, under another name"
        if reason is None and not _utf8(entry.name):
            reason = "its name is not UTF-8; rename it"
        if reason is None:
            try:
                return self._scan(entry.path)
            except _OwnFolder:
                reason = "the folder was written by shoal"
        self.rows.add(entry.path, reason=reason)
        return None

    def _file(self, entry: "os.DirEntry[str]") -> None:
        have = entry.stat()
        reason = self.options.file_reason(entry.name, have.st_size)
        if not modes.S_ISREG(have.st_mode):
            reason = "it is no regular file"
        self.rows.add(entry.path, have.st_size, have.st_mtime_ns, reason=reason)


class _OwnFolder(Exception):  # noqa: N818  (tells, no fault)
    """A folder that shoal wrote."""


def _utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (FolderIndexer,)
