"""Arrow schemas: how stages say which columns they read and write."""

import pyarrow as pa

ID = pa.field("id", pa.string(), nullable=False)
"""sha256 of the file's bytes, 64 hex digits."""


def vector(size: int | None = None) -> pa.DataType:
    """Return the type of a vector column.

    Args:
        size: number of components. None, for a consumer only, means any size.
    """
    return pa.list_(pa.float32()) if size is None else pa.list_(pa.float32(), size)


def columns(**types: pa.DataType) -> pa.Schema:
    """Return a schema of nullable columns: `columns(cluster=pa.int32())`."""
    return pa.schema([pa.field(name, kind) for name, kind in types.items()])


NOTHING = pa.schema([])


def fits(have: pa.DataType, want: pa.DataType) -> bool:
    """Tell whether a column of type `have` serves a consumer that declares `want`: equal, or a vector of any size."""
    if have.equals(want):
        return True
    vectors = pa.types.is_fixed_size_list(have) and pa.types.is_list(want)
    return bool(vectors and have.value_type.equals(want.value_type))
