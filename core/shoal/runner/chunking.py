"""Cuts the images of a pass into the chunks that workers get; a chunk's rows become one part file a stage."""

import math
from collections.abc import Iterable, Iterator

import pyarrow as pa

SMALLEST, LARGEST = 16, 512
"""Rows of a part file: few enough that a killed run loses little and workers end together, enough for Parquet."""


def recut(tables: Iterable[pa.Table], sizes: Iterable[int]) -> Iterator[pa.Table]:
    """Yield the rows of some tables in tables of these sizes, each with its own memory; the last may have fewer."""
    coming = iter(tables)
    left: pa.Table | None = None
    for size in sizes:
        while left is None or left.num_rows < size:
            more = next(coming, None)
            if more is None:
                break
            left = more if left is None or not left.num_rows else pa.concat_tables([left, more])
        if left is None or not left.num_rows:
            return
        yield left.slice(0, size).combine_chunks()
        left = left.slice(size)


def cuts(rows: int, workers: int) -> Iterator[tuple[int, int]]:
    """Yield (start, size) of chunks that shrink with what is left, so that workers of unlike speed end together."""
    start = 0
    while start < rows:
        size = min(max(math.ceil((rows - start) / (workers * 4)), SMALLEST), LARGEST, rows - start)
        yield start, size
        start += size
