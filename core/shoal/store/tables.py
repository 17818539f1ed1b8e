"""Tables of table stages, kept by the stage's fingerprint and the digest of what it saw."""

import hashlib
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from shoal.store.files import Folder

TABLE = "table.parquet"
"""Name of the table in answers that were kept before names told the content."""

DONE = "done.json"
FILES = "files"
BLOCK = 65_536


@dataclass(frozen=True)
class TableStore:
    """One answer of a table stage. `done.json` is written last: without it nothing is there.

    The table's file is named by its content and `done.json` names the file: of two runs that answer at once, on machines
    whose sums differ in the last bit, one is read whole, never the table of one with the facts of the other. No store has to
    rename for that.

    Attributes:
        folder: where it lies.
    """

    folder: Folder

    @property
    def done(self) -> bool:
        """Whether the answer is whole."""
        return self.folder.exists(DONE)

    @property
    def files(self) -> Folder:
        """Folder for a visualiser's files."""
        return self.folder / FILES

    @property
    def table(self) -> str:
        """Name of the table's file in the folder."""
        return str(self.facts().get("table", TABLE))

    def write(self, table: pa.Table, facts: dict[str, Any]) -> None:
        """Keep an answer and what is known of how it was made (backend, seconds)."""
        digest = content(table)
        name = f"table-{digest[:20]}.parquet"
        self.folder.write_table(name, table)
        self.folder.write_json(DONE, {**facts, "content": digest, "table": name})

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """Return the table."""
        return self.folder.read_table(self.table, columns)

    def facts(self) -> dict[str, Any]:
        """Return what was noted when it was made."""
        return dict(self.folder.read_json(DONE))


def content(table: pa.Table) -> str:
    """Return a hash of a table's values: what is made from an answer depends on this, not on when it was made."""
    digest = hashlib.sha256()
    for name in table.column_names:
        digest.update(f"{name}:{hash_column(table[name])}\n".encode())
    return digest.hexdigest()


def hash_column(values: pa.Array | pa.ChunkedArray) -> str:
    """Return a hash of a column's values that does not depend on chunks, offsets or padding."""
    digest = hashlib.sha256(str(values.type).encode())
    chunked = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
    for start in range(0, len(chunked), BLOCK):
        digest.update(_stream(pa.concat_arrays(chunked.slice(start, BLOCK).chunks)))
    return digest.hexdigest()


def _stream(values: pa.Array) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([pa.field("v", values.type)])) as writer:
        writer.write_batch(pa.record_batch([values], names=["v"]))
    return sink.getvalue()
