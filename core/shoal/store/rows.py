"""Rows of a map stage, kept for ever by image id."""

import hashlib
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import StoreError
from shoal.schema import ID
from shoal.store.files import Folder
from shoal.vectors import from_numpy, to_numpy

ERRORS = pa.schema([ID, pa.field("error", pa.string()), pa.field("limits", pa.string())])
"""Ids that a stage can't answer, each with the reason and the limits under which it was read: other limits may allow it."""

GOOD, BAD = "rows", "errors"
PREFIX = 8
BEYOND = "~"
"""Larger than any id."""
SLICE = 50_000
"""Rows gathered at once of columns of bytes: Arrow's offsets hold 2 GiB."""


@dataclass(frozen=True)
class Part:
    """A part file of some ids. `epoch` counts forced recomputations; the highest one's row holds.

    Attributes:
        first, last: the first digits of its smallest and largest id; files from before they were named have all of them.
    """

    name: str
    epoch: int
    first: str
    last: str

    @classmethod
    def named(cls, name: str) -> "Part":
        """Return the part of a file name."""
        _, *span, _digest, epoch = name.removesuffix(".parquet").split("-")
        first, last = span if len(span) == 2 else ("", BEYOND)
        return cls(name, int(epoch), first, last)

    def meets(self, smallest: str, largest: str) -> bool:
        """Tell whether it may hold an id from `smallest` to `largest`."""
        return self.first <= largest[:PREFIX] and smallest[:PREFIX] <= self.last


@dataclass(frozen=True)
class RowStore:
    """The rows of one stage fingerprint.

    Part files are named by the ids in them, never by who wrote them, so a repeated task writes the same file. Errors lie
    in files of their own: Parquet can't hold a vector that is null.

    Attributes:
        folder: where the part files lie.
    """

    folder: Folder

    def parts(self, kind: str = GOOD, within: pa.Array | None = None) -> list[Part]:
        """Return the part files, newest epoch first, in the order of their first ids.

        Args:
            kind: of rows or of errors.
            within: leave out files that hold none of these ids, as far as their names tell.
        """
        names = [name for name in self.folder.names() if name.startswith(f"{kind}-") and name.endswith(".parquet")]
        found = [Part.named(name) for name in names]
        if within is not None:
            ends = pc.min_max(within).as_py()
            found = [part for part in found if len(within) and part.meets(ends["min"], ends["max"])]
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
        span = f"{min(ids)[:PREFIX]}-{max(ids)[:PREFIX]}"
        self.folder.write_table(f"{kind}-{span}-{digest[:12]}-{epoch:04d}.parquet", table)

    def known(self, limits: str = "", within: pa.Array | None = None) -> "Known":
        """Return which ids have rows, or reasons that hold under these limits.

        Args:
            limits: what an image may cost.
            within: tell of these ids only: no more than them is in memory.
        """
        window = None if within is None else _Window(within)
        good = [self._look(part, ["id"], window) for part in self.parts(GOOD, within)]
        bad = [self._look(part, None, window) for part in self.parts(BAD, within)]
        rows = pa.concat_tables([_EPOCHS.empty_table(), *(table.cast(_EPOCHS) for table in good)])
        schema = pa.schema([*ERRORS, *list(_EPOCHS)[1:]])
        errors = pa.concat_tables([schema.empty_table(), *(table.cast(schema) for table in bad)])
        return Known(rows, errors.filter(pc.equal(errors["limits"], limits)))

    def failed(self, limits: str) -> dict[str, str]:
        """Return the reason by id of the images that can't be answered under these limits."""
        wrong = [self.folder.read_table(part.name, ["id"])["id"] for part in self.parts(BAD)]
        ids = [chunk for column in wrong for chunk in column.chunks]
        return self.known(limits, pc.unique(pa.concat_arrays(ids))).failed if ids else {}

    def _look(self, part: Part, columns: list[str] | None, window: "_Window | None") -> pa.Table:
        table = self.folder.read_table(part.name, columns)
        if window is not None:
            table = table.filter(pc.is_valid(window.places(table["id"], part)))
        return _with_epoch(table, part)

    def next_epoch(self) -> int:
        """Return the epoch of a forced recomputation."""
        return max((part.epoch for part in (*self.parts(), *self.parts(BAD))), default=-1) + 1

    def version(self, ids: pa.Array) -> str:
        """Return what tells forced recomputations of these ids' rows apart; `0` where there was none."""
        if all(part.epoch == 0 for part in self.parts()):
            return "0"
        rows = self.known().rows
        epochs = rows["epoch"].take(pc.index_in(ids, value_set=rows["id"].combine_chunks()))
        return hashlib.sha256(epochs.combine_chunks().cast(pa.int64()).fill_null(-1).to_numpy().tobytes()).hexdigest()

    def read(self, ids: pa.Array, schema: pa.Schema) -> list[pa.Array | pa.ChunkedArray]:
        """Return columns with a value for each of `ids`, in their order.

        Vectors are filled part by part into one array, so that memory holds them once and a part besides.

        Args:
            ids: ids of which each has a row.
            schema: the wanted columns of the stage.

        Raises:
            StoreError: an id has no row.
        """
        import numpy as np

        fillers = [_Filler(field, len(ids)) for field in schema]
        filled, window = np.zeros(len(ids), dtype=np.bool_), _Window(ids)
        for part in reversed(self.parts(GOOD, ids)):  # older epochs first: newer rows overwrite
            table = self.folder.read_table(part.name, ["id", *schema.names])
            positions = window.places(table["id"], part)
            wanted = pc.is_valid(positions)
            if not pc.all(wanted).as_py():
                table, positions = table.filter(wanted), positions.drop_null()
            filled[positions.to_numpy()] = True
            for filler in fillers:
                filler.add(table[filler.field.name], positions)
        lost = len(ids) - int(filled.sum())
        if lost:
            raise StoreError(
                f"{self.folder.uri} lacks the rows of {lost} images; run the same command again to compute them"
            )
        return [filler.result() for filler in fillers]

    def schema(self) -> pa.Schema | None:
        """Return the columns of the rows that are there, without `id`; None where there is no row."""
        parts = self.parts()
        return self.folder.read_schema(parts[0].name).remove(0) if parts else None


_EPOCHS = pa.schema([ID, pa.field("epoch", pa.int32())])


def _with_epoch(table: pa.Table, part: Part) -> pa.Table:
    return table.append_column("epoch", pa.array([part.epoch] * table.num_rows, pa.int32()))


@dataclass(frozen=True)
class Known:
    """What is kept of a stage, newest epoch first.

    Attributes:
        rows: `id` and `epoch` of the rows.
        errors: `ERRORS` and `epoch`.
    """

    rows: pa.Table
    errors: pa.Table

    @property
    def ids(self) -> pa.ChunkedArray:
        """Ids that have rows."""
        return self.rows["id"]

    @cached_property
    def failed(self) -> dict[str, str]:
        """Reason by id of the images that the stage can't answer: those whose newest answer is an error."""
        if not self.errors.num_rows:
            return {}
        found = pc.index_in(self.errors["id"], value_set=self.rows["id"].combine_chunks())
        newest = self.rows["epoch"].take(found)
        wrong = self.errors.filter(pc.fill_null(pc.greater(self.errors["epoch"], newest), True))
        return dict(zip(wrong["id"].to_pylist(), wrong["error"].to_pylist(), strict=True))

    def missing(self, ids: pa.Array) -> pa.Array:
        """Return those of `ids` that have neither row nor reason, in order."""
        known = pa.concat_arrays([self.rows["id"].combine_chunks(), self.errors["id"].combine_chunks()])
        return ids.filter(pc.invert(pc.is_in(ids, value_set=known)))


class _Window:
    """Finds places among wanted ids; where these ascend, only among those that a part may hold, so that more cost no more.

    Args:
        ids: wanted.
    """

    def __init__(self, ids: pa.Array) -> None:
        self.ids = ids
        ascends = pc.less_equal(ids.slice(0, max(len(ids) - 1, 0)), ids.slice(1))
        self._ascending = bool(pc.all(ascends, min_count=0).as_py())

    def places(self, found: pa.ChunkedArray, part: Part) -> pa.Array:
        """Return the place of each found id of a part among the wanted ones, or null."""
        start, stop = 0, len(self.ids)
        if self._ascending:
            start = bisect_left(self.ids, part.first, key=_text)
            stop = bisect_right(self.ids, part.last + BEYOND, key=_text)
        places = pc.index_in(found, value_set=self.ids.slice(start, stop - start)).combine_chunks()
        return pc.add(places, pa.scalar(start, pa.int32()))


def _text(value: pa.Scalar) -> str:
    return str(value.as_py())


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

        if not self.rows:
            return pa.array([], self.field.type)
        order = np.empty(self.rows, dtype=np.int64)
        written = pa.concat_arrays(self.positions).to_numpy()
        order[written] = np.arange(len(written))  # the last one written is the newest
        values = pa.chunked_array(self.pieces, self.field.type)
        if not pa.types.is_binary(self.field.type):
            return values.take(pa.array(order))
        wide = values.cast(pa.large_binary())
        slices = [
            wide.take(pa.array(order[start : start + SLICE])).cast(pa.binary()) for start in range(0, self.rows, SLICE)
        ]
        return pa.chunked_array([chunk for part in slices for chunk in part.chunks], self.field.type)
