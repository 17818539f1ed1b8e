"""An index that is larger than memory: rows whose ids are told, sorted by id on disk."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import StoreError
from shoal.runner.indexing import FILES

DIGITS = 2
"""Hex digits of the id that name a partition: 256 of them, each small enough to be sorted in memory."""
WAITING = 131_072
"""Rows that wait in memory before they are written to the partitions."""


class Sorter:
    """Sorts rows of `FILES` by the first digits of their ids; a partition of them is in memory at once.

    Use it as a context: its temporary files are removed at the end.
    """

    def __enter__(self) -> "Sorter":
        """Make a folder for the partitions."""
        self._scratch = TemporaryDirectory(prefix="shoal-index-")
        self._folder = Path(self._scratch.name)
        self._digits: set[str] = set()
        self._waiting: list[pa.Table] = []
        self._rows = 0
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Remove the partitions."""
        self._scratch.cleanup()

    def add(self, files: pa.Table) -> None:
        """Take rows, each with an id."""
        self._waiting.append(files)
        self._rows += files.num_rows
        if self._rows >= WAITING:
            self._write()

    def partitions(self) -> Iterator[pa.Table]:
        """Yield the rows, partition by partition; ids of one are all smaller than those of the next. Call it once, last."""
        self._write()
        for digits in sorted(self._digits):
            yield self._read(digits)
            (self._folder / digits).unlink()

    def _write(self) -> None:
        if not self._waiting:
            return
        rows = pa.concat_tables(self._waiting)
        self._waiting, self._rows = [], 0
        digits = pc.utf8_slice_codeunits(rows["id"], 0, DIGITS)
        order = pc.sort_indices(digits)  # stable: rows of one partition keep their order
        runs = pc.run_end_encode(digits.take(order).combine_chunks())
        rows = rows.take(order).combine_chunks()
        start = 0
        for name, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            self._append(name, rows.slice(start, end - start))
            start = end

    def _append(self, digits: str, rows: pa.Table) -> None:
        """Add rows to a partition: a stream behind those that it holds. No file stays open, as some systems allow few."""
        self._digits.add(digits)
        try:
            with open(self._folder / digits, "ab") as file, pa.ipc.new_stream(file, FILES) as stream:
                stream.write_table(rows)
        except OSError as error:
            raise StoreError(
                f"{self._folder.parent} can't hold the index while it is sorted ({error.strerror or error}); make room, or "
                "name another folder in the variable TMPDIR"
            ) from error

    def _read(self, digits: str) -> pa.Table:
        found = []
        with pa.OSFile(str(self._folder / digits)) as file:
            while file.tell() < file.size():
                found.append(pa.ipc.open_stream(file).read_all())
        return pa.concat_tables(found)
