"""Rows of a map stage, kept for ever by image id."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from shoal.schema import ID
from shoal.store.files import Folder
from shoal.vectors import from_numpy, to_numpy

if TYPE_CHECKING:
    from collections.abc import Iterator

ERROR = pa.field("error", pa.string())
"""Null for a row that was answered; else the reason why this image can't be."""


@dataclass(frozen=True)
class Part:
    """A part file: rows of some ids. `epoch` counts forced recomputations; the highest one's row holds."""

    name: str
    epoch: int


@dataclass(frozen=True)
class RowStore:
    """The rows of one stage fingerprint.

    Part files are named by the ids in them, never by who wrote them, so a repeated task writes the same file.

    Attributes:
        folder: where the part files lie.
    """

    folder: Folder

    def parts(self) -> list[Part]:
        """Return the part files, newest epoch first, in the order of their first ids."""
        names = [name for name in self.folder.names() if name.endswith(".parquet")]
        found = [Part(name, int(name.removesuffix(".parquet").rpartition("-")[2])) for name in names]
        return sorted(found, key=lambda part: (-part.epoch, part.name))

    def write(self, rows: pa.Table, epoch: int = 0) -> None:
        """Keep rows: a table of `id`, the stage's columns and `error`."""
        if not rows.num_rows:
            return
        ids = rows["id"].to_pylist()
        digest = hashlib.sha256("".join(ids).encode()).hexdigest()
        self.folder.write_table(f"{min(ids)[:8]}-{digest[:12]}-{epoch:04d}.parquet", rows)

    def known(self) -> "Known":
        """Return which ids have rows."""
        tables = [self.folder.read_table(part.name, ["id", "error"]) for part in self.parts()]
        empty = pa.schema([ID, ERROR]).empty_table()
        return Known(pa.concat_tables([table.cast(empty.schema) for table in tables] or [empty]).combine_chunks())

    def next_epoch(self) -> int:
        """Return the epoch of a forced recomputation."""
        return max((part.epoch for part in self.parts()), default=-1) + 1

    def read(self, ids: pa.Array, columns: Sequence[str]) -> list[pa.Array | pa.ChunkedArray]:
        """Return columns with a value for each of `ids`, in their order.

        Vectors are filled part by part into one array, so that memory holds them once and a part besides.

        Args:
            ids: ids of which each has a row without error.
            columns: names of the stage's columns.
        """
        if not len(ids):
            schema = self._schema()
            return [pa.array([], schema.field(name).type) for name in columns]
        builders = [_Filler(self._schema().field(name), len(ids)) for name in columns]
        for part in reversed(self.parts()):  # older epochs first: newer rows overwrite
            table = self.folder.read_table(part.name, ["id", "error", *columns])
            if table["error"].null_count < table.num_rows:
                table = table.filter(pc.is_null(table["error"]))
            _fill(builders, table, ids)
        return [builder.result() for builder in builders]

    def _schema(self) -> pa.Schema:
        import pyarrow.parquet as pq

        filesystem, path = self.folder._place()
        with filesystem.open_input_file(f"{path}/{self.parts()[0].name}") as source:
            return pq.read_schema(source)


@dataclass(frozen=True)
class Known:
    """Ids that have rows.

    Attributes:
        table: `id` and `error`, newest row first where an id stands twice.
    """

    table: pa.Table

    @cached_property
    def failed(self) -> dict[str, str]:
        """Reason by id of the images that the stage can't answer."""
        wrong = self.table.filter(pc.is_valid(self.table["error"]))
        good = set(wrong["id"].to_pylist()) and set(self.table.filter(pc.is_null(self.table["error"]))["id"].to_pylist())
        reasons = zip(wrong["id"].to_pylist(), wrong["error"].to_pylist(), strict=True)
        return {image: reason for image, reason in reasons if image not in good}

    def missing(self, ids: pa.Array) -> pa.Array:
        """Return those of `ids` that have no row, in order."""
        return ids.filter(pc.invert(pc.is_in(ids, value_set=self.table["id"].combine_chunks())))


class _Filler:
    """Gathers one column in the order of the wanted ids."""

    def __init__(self, field: pa.Field, rows: int) -> None:
        import numpy as np

        self.field = field
        self.vectors = None
        self.pieces: list[pa.Array] = []
        self.positions: list[pa.Array] = []
        self.rows = rows
        if pa.types.is_fixed_size_list(field.type) and field.type.value_type == pa.float32():
            self.vectors = np.empty((rows, field.type.list_size), dtype=np.float32)

    def add(self, values: pa.ChunkedArray, positions: pa.Array) -> None:
        if self.vectors is not None:
            self.vectors[positions.to_numpy()] = to_numpy(values)
            return
        self.pieces.extend(values.chunks)
        self.positions.append(positions)

    def result(self) -> pa.Array | pa.ChunkedArray:
        if self.vectors is not None:
            return from_numpy(self.vectors)
        import numpy as np

        order = np.full(self.rows, -1, dtype=np.int64)
        written = pa.concat_arrays(self.positions).to_numpy()
        order[written] = np.arange(len(written))
        return pa.chunked_array(self.pieces, self.field.type).take(pa.array(order)).combine_chunks()


def _fill(builders: "list[_Filler]", table: pa.Table, ids: pa.Array) -> None:
    positions = pc.index_in(table["id"], value_set=ids).combine_chunks()
    wanted = pc.is_valid(positions)
    if not pc.all(wanted).as_py():
        table, positions = table.filter(wanted), positions.drop_null()
    for builder in builders:
        builder.add(table[builder.field.name], positions)


def cut(ids: pa.Array, size: int) -> "Iterator[pa.Array]":
    """Yield runs of at most `size` ids: the rows of one part file."""
    for start in range(0, len(ids), size):
        yield ids.slice(start, size)
