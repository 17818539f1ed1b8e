"""Rows of a map stage, kept for ever by image id."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from shoal.schema import ID
from shoal.store.files import Folder
from shoal.vectors import from_numpy, to_numpy

ERRORS = pa.schema([ID, pa.field("error", pa.string())])
"""Ids that a stage can't answer, each with the reason."""

GOOD, BAD = "rows", "errors"


@dataclass(frozen=True)
class Part:
    """A part file of some ids. `epoch` counts forced recomputations; the highest one's row holds."""

    name: str
    epoch: int


@dataclass(frozen=True)
class RowStore:
    """The rows of one stage fingerprint.

    Part files are named by the ids in them, never by who wrote them, so a repeated task writes the same file. Errors lie
    in files of their own: Parquet can't hold a vector that is null.

    Attributes:
        folder: where the part files lie.
    """

    folder: Folder

    def parts(self, kind: str = GOOD) -> list[Part]:
        """Return the part files, newest epoch first, in the order of their first ids."""
        names = [name for name in self.folder.names() if name.startswith(f"{kind}-") and name.endswith(".parquet")]
        found = [Part(name, int(name.removesuffix(".parquet").rpartition("-")[2])) for name in names]
        return sorted(found, key=lambda part: (-part.epoch, part.name))

    def write(self, rows: pa.Table, epoch: int = 0) -> None:
        """Keep rows: a table of `id` and the stage's columns."""
        self._write(GOOD, rows, epoch)

    def write_errors(self, errors: pa.Table, epoch: int = 0) -> None:
        """Keep the reasons why images can't be answered: a table of `ERRORS`."""
        self._write(BAD, errors, epoch)

    def _write(self, kind: str, table: pa.Table, epoch: int) -> None:
        if not table.num_rows:
            return
        ids = table["id"].to_pylist()
        digest = hashlib.sha256("".join(ids).encode()).hexdigest()
        self.folder.write_table(f"{kind}-{min(ids)[:8]}-{digest[:12]}-{epoch:04d}.parquet", table)

    def known(self) -> "Known":
        """Return which ids have rows or reasons."""
        good = [self.folder.read_table(part.name, ["id"])["id"].cast(pa.string()) for part in self.parts()]
        ids = pa.chunked_array([chunk for column in good for chunk in column.chunks], pa.string()).combine_chunks()
        bad = [self.folder.read_table(part.name) for part in self.parts(BAD)]
        errors = pa.concat_tables([ERRORS.empty_table(), *(table.cast(ERRORS) for table in bad)])
        return Known(ids, errors)

    def next_epoch(self) -> int:
        """Return the epoch of a forced recomputation."""
        return max((part.epoch for part in (*self.parts(), *self.parts(BAD))), default=-1) + 1

    def read(self, ids: pa.Array, columns: Sequence[str]) -> list[pa.Array | pa.ChunkedArray]:
        """Return columns with a value for each of `ids`, in their order.

        Vectors are filled part by part into one array, so that memory holds them once and a part besides.

        Args:
            ids: ids of which each has a row.
            columns: names of the stage's columns.
        """
        if not len(ids):
            schema = self._schema()
            return [pa.array([], schema.field(name).type) for name in columns]
        builders = [_Filler(self._schema().field(name), len(ids)) for name in columns]
        for part in reversed(self.parts()):  # older epochs first: newer rows overwrite
            _fill(builders, self.folder.read_table(part.name, ["id", *columns]), ids)
        return [builder.result() for builder in builders]

    def _schema(self) -> pa.Schema:
        import pyarrow.parquet as pq

        filesystem, path = self.folder._place()
        with filesystem.open_input_file(f"{path}/{self.parts()[0].name}") as source:
            return pq.read_schema(source)


@dataclass(frozen=True)
class Known:
    """What is kept of a stage.

    Attributes:
        ids: ids that have rows.
        errors: `ERRORS`; an id that has a row as well was mended since.
    """

    ids: pa.Array
    errors: pa.Table

    @cached_property
    def failed(self) -> dict[str, str]:
        """Reason by id of the images that the stage can't answer."""
        wrong = self.errors.filter(pc.invert(pc.is_in(self.errors["id"], value_set=self.ids)))
        return dict(zip(wrong["id"].to_pylist(), wrong["error"].to_pylist(), strict=True))

    def missing(self, ids: pa.Array) -> pa.Array:
        """Return those of `ids` that have neither row nor reason, in order."""
        known = pa.concat_arrays([self.ids, self.errors["id"].combine_chunks()])
        return ids.filter(pc.invert(pc.is_in(ids, value_set=known)))


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
