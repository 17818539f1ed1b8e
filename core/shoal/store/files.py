"""A folder on a local disk or an object store in which files appear whole or not at all."""

import atexit
import errno
import json
import os
import platform
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from shoal.errors import StoreError
from shoal.sources import remote, sentence

COMPRESSION = "zstd"
SERVICE = re.compile(r"AWS Error|google::cloud|Azure")
"""How errors of object stores are told from those of a file's content, which Arrow raises as the same class."""
UNFINISHED = ".tmp-"
"""Beginning of the name of a file that is being written."""
LEFT_SECONDS = 86_400.0


@dataclass(frozen=True)
class Folder:
    """A folder named by a path or a URI (`s3://bucket/prefix`). Made where it does not exist.

    Attributes:
        uri: path or URI, without a slash at its end.
        marker: path of a file that is there wherever the store is that this folder lies in; '' where it lies in none. A
            machine that lacks the store's mount would write to a disk of its own, where nobody finds it.
    """

    uri: str
    marker: str = ""

    def __truediv__(self, name: str) -> "Folder":
        """Return the folder `name` inside this one."""
        if self.local is not None:  # a name may hold a question mark
            return Folder(f"{self.uri}/{name}", self.marker)
        base, question, query = self.uri.partition("?")
        return Folder(f"{base}/{name}{question}{query}")

    def place(self, name: str) -> str:
        """Return the path or URI of a file in it."""
        return (self / name).uri

    @property
    def local(self) -> Path | None:
        """The path, where this folder is on a local disk."""
        return None if "://" in self.uri else Path(self.uri)

    def local_or_raise(self, why: str) -> Path:
        """Return the local path, or raise a StoreError that says what needs one."""
        if self.local is None:
            raise StoreError(f"{why} needs a local folder, and {self.uri} is none")
        return self.local

    def _place(self) -> tuple[pafs.FileSystem, str]:
        return (pafs.LocalFileSystem(), self.uri) if self.local is not None else remote(self.uri)

    def _check_store(self) -> None:
        if self.marker and not os.path.exists(self.marker):
            raise StoreError(
                f"the store {os.path.dirname(self.marker)} is not there on {platform.node()}; mount it on every node, or "
                "give --out a folder or URI that all of them see"
            )

    def _made(self) -> Path:
        path = Path(self.uri)
        if not path.is_dir():
            self._check_store()
            path.mkdir(parents=True, exist_ok=True)
        return path

    def names(self) -> list[str]:
        """Return the names of the files and folders in it, sorted; none where the folder does not exist.

        Raises:
            StoreError: the store that it lies in is not there on this machine, or does not answer.
        """
        if self.local is not None:
            if self.local.is_dir():
                return sorted(os.listdir(self.local))
            self._check_store()
            return []
        filesystem, path = self._place()
        with self._asking():
            found = filesystem.get_file_info(pafs.FileSelector(path, allow_not_found=True))
        return sorted(info.base_name for info in found)

    def exists(self, name: str) -> bool:
        """Tell whether a file or folder of that name is there."""
        if self.local is not None:
            return (self.local / name).exists()
        filesystem, path = self._place()
        with self._asking():
            return bool(filesystem.get_file_info(f"{path}/{name}").type != pafs.FileType.NotFound)

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        filesystem, path = self._place()
        with self._asking(name), filesystem.open_input_stream(f"{path}/{name}") as stream:
            return bytes(stream.read())

    def write(self, name: str, data: bytes | pa.Buffer) -> None:
        """Write a file, whole or not at all; a file of that name is replaced."""
        with self._publish(name) as stream:
            stream.write(data)

    def read_json(self, name: str) -> Any:
        """Return the value of a JSON file.

        Raises:
            StoreError: the file is not JSON.
        """
        try:
            return json.loads(self.read(name))
        except ValueError as error:
            raise StoreError(f"{self.uri}/{name} is damaged ({error}); remove it and run again") from error

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as JSON, whole or not at all."""
        self.write(name, json.dumps(value, indent=1, sort_keys=True).encode())

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Return a Parquet file's table.

        Raises:
            StoreError: the file is gone or damaged.
        """
        with self._parquet(name) as file:
            return file.read(columns=columns)

    def read_slices(self, name: str, columns: list[str] | None, rows: int) -> Iterator[pa.Table]:
        """Yield a Parquet file's table in slices of at most `rows`, one of which is in memory at once.

        Raises:
            StoreError: the file is gone or damaged.
        """
        # Read ahead, Arrow keeps the bytes of all row groups until the file is closed.
        with self._parquet(name, ahead=False) as file:
            for batch in file.iter_batches(batch_size=rows, columns=columns):
                yield pa.Table.from_batches([batch])

    def read_schema(self, name: str) -> pa.Schema:
        """Return a Parquet file's columns.

        Raises:
            StoreError: the file is gone or damaged.
        """
        with self._parquet(name) as file:
            return file.schema_arrow

    @contextmanager
    def _asking(self, name: str = "") -> Iterator[None]:
        """Let a failure of an object store be a StoreError: a chunk of work that meets one is given out again."""
        try:
            yield
        except OSError as error:
            if self.local is not None:
                raise
            raise StoreError(sentence(self.place(name) if name else self.uri, error)) from error

    @contextmanager
    def _parquet(self, name: str, ahead: bool = True) -> Iterator[pq.ParquetFile]:
        filesystem, path = self._place()
        try:
            with filesystem.open_input_file(f"{path}/{name}") as source:
                yield pq.ParquetFile(source, pre_buffer=ahead)
        except FileNotFoundError as error:
            raise StoreError(f"{self.uri}/{name} is gone; run the same command again to make it anew") from error
        except OSError as error:
            if error.errno is None and not SERVICE.search(str(error)):
                raise StoreError(f"{self.uri}/{name} is damaged ({error}); remove it and run again") from error
            raise StoreError(f"{sentence(self.place(name), error)}; the same command goes on") from error
        except pa.ArrowInvalid as error:
            raise StoreError(f"{self.uri}/{name} is damaged ({error}); remove it and run again") from error

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a table as Parquet, whole or not at all.

        Vectors are stored plain: dictionaries and statistics of floats cost time and save nothing.
        """
        flat = _flat(table.schema)
        with self._publish(name) as sink:
            pq.write_table(table, sink, compression=COMPRESSION, use_dictionary=flat, write_statistics=flat)

    def write_slices(self, name: str, schema: pa.Schema, slices: Iterable[pa.Table]) -> None:
        """Write tables of one schema as one Parquet file, a row group each, whole or not at all."""
        flat = _flat(schema)
        try:
            with (
                self._publish(name) as sink,
                pq.ParquetWriter(
                    sink, schema, compression=COMPRESSION, use_dictionary=flat, write_statistics=flat
                ) as writer,
            ):
                for table in _carrying(slices):
                    writer.write_table(table)
        except _Carried as carried:
            raise carried.error from None

    def sweep(self) -> None:
        """Remove what writers that were killed left a day ago or longer; an object store keeps nothing of them."""
        if self.local is None:
            return
        for name in self.names():
            path = self.local / name
            with suppress(OSError):  # another run sweeps, too
                if name.startswith(UNFINISHED) and time.time() - path.stat().st_mtime > LEFT_SECONDS:
                    path.unlink()

    @contextmanager
    def filled(self) -> Iterator[Path]:
        """Give a folder of this machine to write files into; they are in this folder afterwards."""
        if self.local is not None:
            yield self._made()
            return
        with tempfile.TemporaryDirectory(prefix="shoal-") as scratch:
            yield Path(scratch)
            for path in sorted(Path(scratch).rglob("*")):
                if path.is_file():
                    self.write(path.relative_to(scratch).as_posix(), path.read_bytes())

    def fetched(self) -> Path:
        """Return a folder of this machine with the files: itself, or a copy that is there until this process ends."""
        if self.local is not None:
            return self.local
        scratch = Path(tempfile.mkdtemp(prefix="shoal-"))
        atexit.register(shutil.rmtree, scratch, ignore_errors=True)
        filesystem, path = self._place()
        with self._asking():
            found = filesystem.get_file_info(pafs.FileSelector(path, recursive=True, allow_not_found=True))
        for info in found:
            if info.is_file and ".." not in info.path.split("/"):
                target = scratch / os.path.relpath(info.path, path.lstrip("/"))
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self.read(target.relative_to(scratch).as_posix()))
        return scratch

    @contextmanager
    def _publish(self, name: str) -> Iterator[Any]:
        """Give a sink; the file gets its name when the sink is whole: by a rename on a disk, by one upload elsewhere.

        An object store shows an object when its upload is complete, and nothing before: a writer that is killed leaves
        nothing, and of two that write one name the last one stands, whole.
        """
        try:
            if self.local is None:
                whole = pa.BufferOutputStream()
                yield whole
                filesystem, base = self._place()
                with filesystem.open_output_stream(f"{base}/{name}") as stream:
                    stream.write(whole.getvalue())
                return
            temporary = self._made() / f"{UNFINISHED}{uuid.uuid4().hex}"
            try:
                with pa.OSFile(str(temporary), "wb") as file:
                    yield file
                os.replace(temporary, self.local / name)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(_explain(error, self.uri)) from error


class _Carried(Exception):  # noqa: N818  (an error on its way)
    """An error of who makes slices, carried past what explains errors of writing them."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def _carrying(slices: Iterable[pa.Table]) -> Iterator[pa.Table]:
    try:
        yield from slices
    except OSError as error:
        raise _Carried(error) from error


def _flat(schema: pa.Schema) -> list[str]:
    """Return the columns that get dictionaries and statistics."""
    return [field.name for field in schema if not pa.types.is_nested(field.type) and field.type != pa.binary()]


def _explain(error: OSError, uri: str) -> str:
    if error.errno == errno.ENOSPC:
        return f"the disk of {uri} is full; free some room and run the same command again: what is done is kept"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{uri} can't be written ({os.strerror(error.errno)}); choose another --out"
    if "NO_SUCH_BUCKET" in str(error):
        return f"the bucket of {uri} does not exist; make it, or choose another --out"
    if "ACCESS_DENIED" in str(error):
        return f"{uri} can't be written: no permission; give the keys of its bucket to whoever runs this"
    return f"{uri} can't be written: {error}"
