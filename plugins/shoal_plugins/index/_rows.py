"""Collects the rows of a listing and hands them out as tables."""

from collections.abc import Iterator

import pyarrow as pa

from shoal.kinds import LISTING

ROWS = 10_000
"""Rows of one table: a listing of any length is held in memory a table at a time."""


class Rows:
    """Columns that grow row by row."""

    def __init__(self) -> None:
        """Start empty."""
        self._columns: dict[str, list[object]] = {name: [] for name in LISTING.names}

    def __len__(self) -> int:
        """Return the number of rows that wait."""
        return len(self._columns["path"])

    def add(
        self,
        path: str,
        size: int | None = None,
        mtime_ns: int | None = None,
        *,
        reason: str | None = None,
        failed: bool = False,
        item: str | None = None,
        view: str | None = None,
        image: str | None = None,
    ) -> None:
        """Add a row; a path that is not UTF-8 is shown with its odd bytes escaped, and failed."""
        try:
            path.encode()
        except UnicodeEncodeError:
            path = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            reason, failed = "its name is not UTF-8; rename it", True
        for name, value in zip(LISTING.names, (path, size, mtime_ns, item, view, reason, failed, image), strict=True):
            self._columns[name].append(value)

    def full(self) -> Iterator[pa.Table]:
        """Yield a table where enough rows wait."""
        if len(self) >= ROWS:
            yield from self.rest()

    def rest(self) -> Iterator[pa.Table]:
        """Yield what waits, if anything."""
        if len(self):
            yield pa.table(self._columns, schema=LISTING)
            self._columns = {name: [] for name in LISTING.names}
