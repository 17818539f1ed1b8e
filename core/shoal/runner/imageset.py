"""The images of a run: sorted by id, and never all in memory where a slice does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from shoal.store import Folder

IMAGES = "images.parquet"
SLICE = 65_536
"""Images that a pass looks at together; a smaller set is one slice."""


@dataclass(frozen=True)
class ImageSet:
    """Reads the images of a run as they are asked for.

    Attributes:
        folder: of the run.
        count: number of images.
        table: `id` and `IMAGE_COLUMNS` sorted by id, where it is in memory anyway; None: they are read from `folder`.
    """

    folder: Folder
    count: int
    table: pa.Table | None = None

    @property
    def ids(self) -> pa.Array:
        """All ids, sorted."""
        return self.column("id").combine_chunks()

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column, a value an image."""
        return self.folder.read_table(IMAGES, [name])[name] if self.table is None else self.table[name]

    def slices(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield these columns for one slice after the other."""
        names = list(dict.fromkeys(columns))
        if self.table is None:
            yield from self.folder.read_slices(IMAGES, names, SLICE)
            return
        table = self.table.select(names)
        for start in range(0, self.count, SLICE):
            yield table.slice(start, SLICE)
