"""Vector columns to and from numpy, without copies."""

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
