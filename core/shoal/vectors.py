"""Vector columns to and from numpy, without copies."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def from_numpy(array: "NDArray[np.float32]") -> pa.FixedSizeListArray:
    """Return an (n, size) array as a vector column; no copy where it is C-contiguous float32."""
    import numpy as np

    rows = np.ascontiguousarray(array, dtype=np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def to_numpy(column: pa.ChunkedArray | pa.Array) -> "NDArray[np.float32]":
    """Return a vector column without nulls as an (n, size) float32 array; no copy where the column is one chunk."""
    import numpy as np

    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    if not pa.types.is_fixed_size_list(column.type):
        return np.asarray(column.to_pylist(), dtype=np.float32).reshape(len(column), -1)
    size = column.type.list_size
    parts = [chunk.flatten().to_numpy(zero_copy_only=False).reshape(-1, size) for chunk in chunks if len(chunk)]
    if not parts:
        return np.empty((0, size), dtype=np.float32)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def unit_length(rows: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Return rows of length 1; a row of zeros stays. Each row is summed by itself, so its batch does not matter."""
    import numpy as np

    lengths = np.array([np.sqrt(np.dot(row, row)) for row in rows.astype(np.float64)]).reshape(-1, 1)
    scaled: NDArray[np.float32] = (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return scaled


def mean(first: pa.Table, second: pa.Table, unit: Sequence[str] = ()) -> pa.Table:
    """Return `first` with each vector column of fixed size replaced by its mean with that of `second`, row by row.

    Args:
        first: any columns.
        second: the same columns.
        unit: vector columns whose means are scaled to length 1.
    """
    import numpy as np

    made = first
    for place, field in enumerate(first.schema):
        if pa.types.is_fixed_size_list(field.type) and pa.types.is_floating(field.type.value_type):
            total: NDArray[np.float32] = to_numpy(first[field.name]) + to_numpy(second[field.name])  # in either order
            rows = unit_length(total) if field.name in unit else total * np.float32(0.5)
            made = made.set_column(place, field, from_numpy(rows).cast(field.type))
    return made
