"""Files on local folders and object stores: one small layer over the operating system and `pyarrow.fs`.

A place is a local path, a `file://` URI, or a URI of a store that pyarrow knows (`s3://`, `gs://`, `abfs://`, `hdfs://`),
with its options in the query: `s3://bucket/folder?endpoint_override=127.0.0.1:9000&scheme=http&region=us-east-1`. The path
in a URI is percent-coded. Credentials come from the environment, never from a URI, which would carry them into tables.
"""

import errno
import os
import re
import stat as modes
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qs, quote, unquote

import pyarrow.fs as pafs

from shoal.errors import ImageError, StoreError, UsageError

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_SAFE = "/!$&'()*+,;=:@~"
_REFUSED = re.compile(r"NO_SUCH_BUCKET|ACCESS_DENIED|PERMISSION_DENIED|HTTP status 403")
"""How object stores say no. All else that they raise, but that there is no such object, means that they don't answer."""

Answer = TypeVar("Answer")

SECRET = re.compile(r"access_?key|secret|token|password|credential(?!_kind)|^sig$", re.IGNORECASE)
"""Options of a URI that hold secrets; `sig` signs an address of Azure."""


class Unreadable(ImageError):  # noqa: N818  (named like its base)
    """A file that can't be read now: vanished, no permission, a folder, too large. It may be readable another time."""


class Unseen(Unreadable):
    """A file that is not there, or that nobody here may read: so look all files where their mount or their keys lack."""


@dataclass(frozen=True)
class Entry:
    """What is at a place.

    Attributes:
        path: local path or URI.
        kind: `file`, `folder`, `missing`, or `other` (a device, a pipe, a socket).
        bytes: size of a file, else None.
        mtime_ns: time of its last change in nanoseconds, where known.
    """

    path: str
    kind: Literal["file", "folder", "missing", "other"]
    bytes: int | None = None
    mtime_ns: int | None = None


def is_local(place: str) -> bool:
    """Tell whether a place is on this machine's file system: a path or a `file://` URI."""
    scheme = _URI.match(place)
    return scheme is None or scheme[1].lower() == "file"


def secret_in(place: str) -> str:
    """Return what a URI holds that must not be written down, in words without it; empty where nothing is, or on a disk."""
    if is_local(place):
        return ""
    head, _, options = place.partition("?")
    query = parse_qs(options, keep_blank_values=True)
    named = next((name for name in query if SECRET.search(name)), "")
    if named:
        return named
    return "a login before the @" if any(map(_has_login, (head, *query.get("endpoint_override", [])))) else ""


def refuse_credentials(place: str, what: str) -> None:
    """Refuse a place that holds credentials: it is kept with the run, in tables, records and MLflow.

    Args:
        place: path or URI.
        what: the place, for the message, which does not repeat it.

    Raises:
        UsageError: it does.
    """
    secret = secret_in(place)
    if secret:
        raise UsageError(
            f"{what} must hold no credentials, and holds {secret}: it is kept in tables and records; set them in the "
            "environment (AWS_ACCESS_KEY_ID, ...)"
        )


def _has_login(uri: str) -> bool:
    """Tell whether a URI has a password before its host, or a key before its bucket."""
    scheme, _, rest = uri.rpartition("://")
    login, at, _ = rest.partition("/")[0].rpartition("@")
    return bool(at) and (":" in login or scheme.lower() in ("s3", "gs", "gcs"))


def absolute(place: str) -> str:
    """Return a place as tables keep it: an absolute local path without symbolic links resolved, or the URI itself."""
    if not is_local(place):
        return place
    return os.path.abspath(_local(place))


def join(folder: str, relative: str) -> str:
    """Return the place of a relative path under a folder."""
    if is_local(folder):
        return os.path.normpath(os.path.join(absolute(folder), relative))
    head, mark, query = folder.partition("?")
    return f"{head.rstrip('/')}/{quote(relative.lstrip('/'), safe=_SAFE)}{mark}{query}"


def parent(place: str) -> str:
    """Return the folder in which a file lies."""
    if is_local(place):
        return os.path.dirname(absolute(place))
    head, mark, query = place.partition("?")
    return f"{head.rpartition('/')[0]}{mark}{query}"


def read_bytes(path: str, max_bytes: int | None = None) -> bytes:
    """Return the content of a file.

    Args:
        path: local path or URI.
        max_bytes: largest size that is read; None for no bound.

    Raises:
        Unreadable: (an `ImageError`) it does not exist, can't be read, is no file, or is larger.
        StoreError: its disk or object store does not answer, which says nothing of the file.
    """
    if is_local(path):
        return _ask(path, lambda: _read_local(_local(path), path, max_bytes))
    return _ask(path, lambda: _read_remote(path, max_bytes))


def stat(path: str) -> Entry:
    """Return what is at a place; `missing` where there is nothing.

    Raises:
        Unreadable: it can't be looked at.
        StoreError: its disk or object store does not answer.
    """
    return _ask(path, lambda: _look(path))


def list_folder(folder: str) -> list[Entry]:
    """Return what lies directly in a folder of an object store, sorted by path.

    Raises:
        UsageError: it can't be listed.
    """
    try:
        filesystem, key = remote(folder)
        found = sorted(filesystem.get_file_info(pafs.FileSelector(key)), key=lambda info: info.path)
    except (OSError, ValueError) as error:
        raise UsageError(sentence(folder, error)) from error
    return [_info(join(folder, info.base_name), info) for info in found if info.base_name]


def open_stream(path: str) -> Any:
    """Return a pyarrow input stream over a file; one that ends in `.gz`, `.zst` or `.bz2` is decompressed.

    Raises:
        UsageError: it can't be opened.
    """
    try:
        filesystem, key = _place(path)
        return filesystem.open_input_stream(key)
    except (OSError, ValueError) as error:
        raise UsageError(sentence(path, error)) from error


def open_file(path: str) -> Any:
    """Return a pyarrow file that can be read at any offset.

    Raises:
        UsageError: it can't be opened.
    """
    try:
        filesystem, key = _place(path)
        return filesystem.open_input_file(key)
    except (OSError, ValueError) as error:
        raise UsageError(sentence(path, error)) from error


def name_of(place: str) -> str:
    """Return the last part of a path or URI, decoded."""
    if is_local(place):
        return os.path.basename(_local(place))
    return unquote(place.partition("?")[0].rstrip("/").rpartition("/")[2])


def remote(place: str) -> tuple[pafs.FileSystem, str]:
    """Return the file system of a URI, opened once a process, and the path in it.

    Raises:
        UsageError: it is no URI, one of an unknown store, or it holds credentials.
    """
    scheme = _URI.match(place)
    if scheme is None:
        raise UsageError(f"{place} is no URI; write for instance s3://bucket/folder")
    path, _, query = scheme[2].partition("?")
    bucket, _, key = path.partition("/")
    filesystem, base = _filesystem(scheme[1].lower(), bucket, query)
    return filesystem, f"{base}/{unquote(key)}".strip("/") if base else f"/{unquote(key)}"


def _local(place: str) -> str:
    scheme = _URI.match(place)
    if scheme is None:
        return os.path.expanduser(place) if place.startswith("~") else place
    host, slash, path = scheme[2].partition("/")
    if host not in ("", "localhost") or not slash:
        raise UsageError(f"{place} names another machine; write file:///folder for a folder of this one")
    return "/" + unquote(path)


def _place(place: str) -> tuple[pafs.FileSystem, str]:
    return (pafs.LocalFileSystem(), str(Path(_local(place)))) if is_local(place) else remote(place)


@lru_cache(maxsize=32)
def _filesystem(scheme: str, bucket: str, query: str) -> tuple[pafs.FileSystem, str]:
    uri = f"{scheme}://{bucket}" + (f"?{query}" if query else "")
    refuse_credentials(uri, f"a {scheme}:// URI")
    try:
        filesystem, base = pafs.FileSystem.from_uri(uri)
    except (OSError, ValueError, NotImplementedError) as error:
        raise UsageError(
            f"{scheme}://{bucket} can't be opened: {_short(error)}; use a folder, file://, s3://, gs://, abfs:// or hdfs://"
        ) from error
    return filesystem, base.strip("/")


def _ask(path: str, ask: Callable[[], Answer]) -> Answer:
    """Return what is answered about a file, and tell a file that can't be read from a store that is out of order.

    A failure that is no plain no may be the file's or its store's. Where the store answers nothing about the place around
    the file either, it is the store's. Where it does, it may have begun to a moment ago: the file is asked for once more.
    """
    try:
        return ask()
    except (OSError, ValueError) as error:
        if _is_answer(error):
            raise _unreadable(path, error) from error
        if not _answers_around(path):
            raise StoreError(f"{sentence(path, error)}, nor does its store answer; the same command goes on") from error
    try:
        return ask()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _answers_around(path: str) -> bool:
    try:
        if is_local(path):
            os.stat(parent(path))
        else:
            filesystem, key = remote(path)
            filesystem.get_file_info(key.partition("/")[0] or "/")  # the bucket: no single object has to do with it
    except OSError as error:
        return _is_answer(error)
    return True


def _is_answer(error: Exception) -> bool:
    of_path = getattr(error, "errno", None) in (errno.ELOOP, errno.ENAMETOOLONG)
    return of_path or isinstance(error, ValueError | IsADirectoryError) or _is_refusal(error)


def _is_refusal(error: Exception) -> bool:
    known = isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError)
    return known or bool(_REFUSED.search(str(error)))


def _unreadable(path: str, error: Exception) -> Unreadable:
    return (Unseen if _is_refusal(error) else Unreadable)(sentence(path, error))


def _look(path: str) -> Entry:
    try:
        if is_local(path):
            return _entry(path, os.stat(_local(path)))
        filesystem, key = remote(path)
        return _info(path, filesystem.get_file_info(key))
    except (FileNotFoundError, NotADirectoryError):
        return Entry(path, "missing")


def _read_local(path: str, name: str, max_bytes: int | None) -> bytes:
    # Not blocking: opening a pipe that nobody writes to would wait for ever.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with open(handle, "rb", buffering=0) as file:
        have = os.fstat(handle)
        if modes.S_ISDIR(have.st_mode):
            raise Unreadable(f"{name} is a folder, not a file")
        if not modes.S_ISREG(have.st_mode):
            raise Unreadable(f"{name} is no regular file")
        _check_size(name, have.st_size, max_bytes)
        data = file.read() if max_bytes is None else _read_up_to(file, max_bytes + 1)
    _check_size(name, len(data), max_bytes)
    return data


def _read_remote(path: str, max_bytes: int | None) -> bytes:
    filesystem, key = remote(path)
    with filesystem.open_input_file(key) as file:
        size = file.size()
        _check_size(path, size, max_bytes)
        return bytes(file.read(size))


def _read_up_to(file: Any, size: int) -> bytes:
    parts = []
    while size > 0 and (part := file.read(min(size, 1 << 24))):
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _check_size(name: str, size: int, max_bytes: int | None) -> None:
    if max_bytes is not None and size > max_bytes:
        raise Unreadable(f"{name} has {size} bytes, more than the allowed {max_bytes}")


def _entry(path: str, have: os.stat_result) -> Entry:
    if modes.S_ISDIR(have.st_mode):
        return Entry(path, "folder")
    if not modes.S_ISREG(have.st_mode):
        return Entry(path, "other")
    return Entry(path, "file", have.st_size, have.st_mtime_ns)


def _info(path: str, info: pafs.FileInfo) -> Entry:
    if info.type == pafs.FileType.NotFound:
        return Entry(path, "missing")
    if info.type == pafs.FileType.Directory:
        return Entry(path, "folder")
    return Entry(path, "file", info.size, info.mtime_ns)


def sentence(path: str, error: Exception) -> str:
    """Return why a place can't be read, from what the system or an object store said."""
    shown = path.encode("utf-8", "backslashreplace").decode()
    number = getattr(error, "errno", None)
    if isinstance(error, FileNotFoundError | NotADirectoryError) or "NO_SUCH_BUCKET" in str(error):
        return f"{shown} does not exist (any more)"
    if isinstance(error, PermissionError) or "ACCESS_DENIED" in str(error):
        return f"{shown} can't be read: no permission"
    if isinstance(error, IsADirectoryError):
        return f"{shown} is a folder, not a file"
    if number == errno.ELOOP:
        return f"{shown} is a symbolic link that leads back to itself"
    return f"{shown} can't be read: {_short(error)}"


def _short(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    text = re.sub(r"\s*\(Request ID: [^)]*\)|\s*Detail: .*", "", text, flags=re.DOTALL)
    return " ".join(text.split())[:200].rstrip(".") or type(error).__name__
