"""Tables of table stages, kept by the stage's fingerprint and the digest of what it saw."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from shoal.store.files import Folder

TABLE = "table.parquet"
DONE = "done.json"
FILES = "files"


@dataclass(frozen=True)
class TableStore:
    """One answer of a table stage. `done.json` is written last: without it nothing is there.

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

    def write(self, table: pa.Table, facts: dict[str, Any]) -> None:
        """Keep an answer and what is known of how it was made (backend, seconds)."""
        self.folder.write_table(TABLE, table)
        self.folder.write_json(DONE, facts)

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """Return the table."""
        return self.folder.read_table(TABLE, columns)

    def facts(self) -> dict[str, Any]:
        """Return what was noted when it was made."""
        return dict(self.folder.read_json(DONE))
