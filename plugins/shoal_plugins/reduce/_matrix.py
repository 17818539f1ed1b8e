"""Vectors as matrices: columns in, columns out, checks, lengths. Shared by reducers, clusterers and samplers."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from shoal.errors import StageError
from shoal.vectors import from_numpy, to_numpy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

BLOCK = 4096
"""Rows handled at once where a whole copy of the vectors would cost too much memory."""


def blocks(n: int, size: int = BLOCK) -> Iterator[slice]:
    """Yield slices that cover `n` rows."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def matrix(rows: pa.Table, column: str = "embedding") -> "Matrix":
    """Return a vector column as an (n, size) float32 array, read-only and without a copy where the column is one chunk.

    Raises:
        StageError: a component is not a finite number.
    """
    vectors = to_numpy(rows[column])
    for part in blocks(len(vectors)):
        finite = np.isfinite(vectors[part]).all(axis=1)
        if not finite.all():
            image = rows["id"][part.start + int(np.argmin(finite))].as_py()
            raise StageError(
                f"the vector of image {image} holds a component that is no finite number; run its embedder again (--force)"
            )
    return vectors


def vectors_table(rows: pa.Table, vectors: "Matrix", size: int, schema: pa.Schema) -> pa.Table:
    """Return the key column and `vectors`, padded with zeros to `size` components."""
    if vectors.shape[1] < size:
        padded = np.zeros((len(vectors), size), dtype=np.float32)
        padded[:, : vectors.shape[1]] = vectors
        vectors = padded
    column = from_numpy(vectors) if len(vectors) else pa.array([], type=schema.field("embedding").type)
    return pa.table([ids(rows), column], schema=pa.schema([rows.schema.field("id"), *schema]))


def ids(rows: pa.Table) -> pa.ChunkedArray:
    """Return the key column."""
    return rows["id"]


def unit_rows(vectors: "Matrix") -> "Matrix":
    """Return the rows divided by their L2 norm; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1), dtype=np.float32)


def all_alike(vectors: "Matrix") -> bool:
    """Tell whether every row is the same."""
    return len(vectors) == 0 or all(bool((vectors[part] == vectors[0]).all()) for part in blocks(len(vectors)))
