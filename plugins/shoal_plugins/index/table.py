"""`index.table`: takes the images from a manifest, so that nothing has to be listed."""

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from shoal import sources
from shoal.contract import Stage
from shoal.errors import ImageError, UsageError
from shoal.hooks import hookimpl
from shoal.kinds import Indexer
from shoal_plugins.index._rows import ROWS, Rows

_ENDINGS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_PACKED = (".gz", ".bz2", ".zst", ".lz4")
_MAX_LINE = 1 << 20
_AT_ONCE = 1 << 20
"""Bytes of a column that are read from a Parquet file at once."""

Fields = tuple[str | None, str | None, str | None, str | None]
"""Path, item, view and id of one row of a manifest."""
_ID = re.compile(r"[0-9a-f]{64}")


class TableIndexer(Indexer):
    """Takes the images from a manifest: a Parquet, CSV or JSON Lines file with a column of paths.

    Take it where a table of the images exists already, or where there are too many to list. The manifest is streamed: a
    hundred million rows need no more memory than ten thousand. Rows keep its order. Paths are local paths or URIs; relative
    ones count from `root`. CSV and JSON Lines may be compressed (`.gz`, `.bz2`, `.zst`).

    With `stat` on, a file that is missing is a failed row, and a file that changed is noticed by its size and time. Turn it
    off for object stores and very long manifests whose files never change: a file then costs no request before it is read.

    Where the manifest knows the SHA-256 of each file, name its column (`id`), and turn `stat` off: the index then reads no
    file, and a run holds no more than a part of it in memory, however many rows there are. The first stage that reads an
    image checks its bytes against the id. Of such images width, height, format and EXIF are not known.
    """

    name: ClassVar[str] = "table"

    format: Literal["auto", "parquet", "csv", "jsonl"] = Field(
        "auto", description="Kind of file; `auto` goes by its ending."
    )
    path: str = Field("path", min_length=1, description="Column that holds the path or URI of each image.")
    item: str | None = Field(
        None, description="Column that says which item an image belongs to; null: an image is its own item."
    )
    view: str | None = Field(None, description="Column that says which view of its item an image is.")
    id: str | None = Field(
        None, description="Column that holds the SHA-256 of each file's bytes, 64 hex digits; null: files are read for it."
    )
    root: str | None = Field(
        None, description="Folder or URI that relative paths count from; null is the manifest's folder."
    )
    stat: bool = Field(True, description="Whether to look up each file's size and time of change.")

    def list_files(self, source: str) -> Iterator[pa.Table]:
        """Yield the manifest's rows as a listing, in its order."""
        if sources.stat(source).kind != "file":
            raise UsageError(f"{source} is no file; name a Parquet, CSV or JSON Lines file with a column {self.path!r}")
        reader = {"parquet": self._parquet, "csv": self._csv, "jsonl": self._jsonl}[self._format(source)]
        root = self.root or sources.parent(source)
        rows = Rows()
        for number, fields in enumerate(reader(source), start=1):
            self._add(rows, number, fields, root, source)
            yield from rows.full()
        yield from rows.rest()

    def _format(self, source: str) -> str:
        if self.format != "auto":
            return self.format
        name = sources.name_of(source).lower()
        for packed in _PACKED:
            name = name.removesuffix(packed)
        ending = os.path.splitext(name)[1]
        if ending not in _ENDINGS:
            raise UsageError(f"{source}: its ending tells no format; set `format` to parquet, csv or jsonl")
        return _ENDINGS[ending]

    def _add(self, rows: Rows, number: int, fields: Fields, root: str, source: str) -> None:
        path, item, view, image = fields
        if not path:
            rows.add(
                f"{source}#{number}", reason=f"row {number} of the manifest has no path", failed=True, item=item, view=view
            )
            return
        # An absolute path or a URI stands for itself.
        alone = path.startswith("/") or "://" in path or not sources.is_local(path)
        place = sources.absolute(path) if alone else sources.join(root, path)
        size, mtime, reason = self._look(place) if self.stat else (None, None, None)
        if self.id is not None and (image is None or not _ID.fullmatch(image.lower())):
            reason = reason or f"row {number} of the manifest has no SHA-256 in its column {self.id!r}"
        told = image.lower() if image is not None and reason is None else None
        rows.add(place, size, mtime, reason=reason, failed=reason is not None, item=item, view=view, image=told)

    def _look(self, place: str) -> tuple[int | None, int | None, str | None]:
        try:
            entry = sources.stat(place)
        except (ImageError, UsageError) as error:
            return None, None, str(error)
        wrong = {"missing": "it does not exist", "folder": "it is a folder, not a file", "other": "it is no regular file"}
        return entry.bytes, entry.mtime_ns, wrong.get(entry.kind)

    def _columns(self) -> list[str | None]:
        return [self.path, self.item, self.view, self.id]

    def _check(self, names: Iterable[str], source: str) -> None:
        names = list(names)
        for wanted in self._columns():
            if wanted is not None and wanted not in names:
                raise UsageError(f"{source} has no column {wanted!r}; it has {', '.join(names[:20]) or 'none'}")

    def _parquet(self, source: str) -> Iterator[Fields]:
        import pyarrow.parquet as pq

        with sources.open_file(source) as file:
            try:
                # Read ahead, Arrow keeps the bytes of all row groups until the file is closed; one group may be long too.
                table = pq.ParquetFile(file, pre_buffer=False, buffer_size=_AT_ONCE)
                self._check(table.schema_arrow.names, source)
                wanted = [name for name in self._columns() if name]
                for batch in table.iter_batches(batch_size=ROWS, columns=list(dict.fromkeys(wanted))):
                    yield from zip(*(_texts(batch, name) for name in self._columns()), strict=True)
            except (pa.ArrowException, OSError) as error:  # damage behind the footer is an OSError
                raise UsageError(f"{source} is no Parquet file that can be read: {error}") from error

    def _csv(self, source: str) -> Iterator[Fields]:
        with sources.open_stream(source) as stream:
            try:
                lines = csv.DictReader(_lines(stream))
                self._check(lines.fieldnames or [], source)
                for row in lines:
                    yield _fields(row, self._columns())
            except (csv.Error, UnicodeDecodeError, OSError) as error:
                raise UsageError(f"{source} is no CSV file that can be read: {error}") from error

    def _jsonl(self, source: str) -> Iterator[Fields]:
        with sources.open_stream(source) as stream:
            number = 0
            try:
                for number, line in enumerate(_lines(stream), start=1):  # noqa: B007  (told below)
                    if line.strip():
                        yield _fields(_object(line), self._columns())
            except (ValueError, RecursionError, OSError) as error:
                raise UsageError(f"{source}: line {number} is no JSON object: {error}") from error


def _lines(stream: Any) -> Iterator[str]:
    """Yield the lines of a stream, each of bounded length."""
    text = io.TextIOWrapper(io.BufferedReader(stream, 1 << 20), encoding="utf-8-sig", newline="")
    while line := text.readline(_MAX_LINE):
        yield line


def _object(line: str) -> dict[str, Any]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError("it is another JSON value")
    return row


def _fields(row: dict[str, Any], names: list[str | None]) -> Fields:
    path, item, view, image = (None if name is None or row.get(name) in (None, "") else str(row[name]) for name in names)
    return path, item, view, image


def _texts(batch: pa.RecordBatch, name: str | None) -> list[str | None]:
    if name is None:
        return [None] * batch.num_rows
    texts: list[str | None] = batch.column(name).cast(pa.string()).to_pylist()
    return texts


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (TableIndexer,)
