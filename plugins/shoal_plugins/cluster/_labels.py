"""What every clusterer answers: numbers by falling size, strength, outlier."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOISE = -1


def by_size(raw: "NDArray[Any]") -> "NDArray[np.int32]":
    """Return labels renumbered from 0 by falling size; ties go by the first row, noise (below 0) becomes -1."""
    values, first, place, sizes = np.unique(raw, return_index=True, return_inverse=True, return_counts=True)
    real = np.flatnonzero(values >= 0)
    order = real[np.lexsort((first[real], -sizes[real]))]
    number = np.full(len(values), NOISE, dtype=np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    return number[place.reshape(-1)]


def clusters_table(
    rows: pa.Table, labels: "NDArray[Any]", strength: "NDArray[Any]", outlier: "NDArray[Any]", schema: pa.Schema
) -> pa.Table:
    """Return the key column, `cluster`, `strength` (0 for noise) and `outlier`, both cut to 0 to 1."""
    numbers = by_size(labels)
    inside = np.nan_to_num(np.clip(strength, 0, 1), nan=1.0)
    inside[numbers == NOISE] = 0
    return pa.table(
        [
            rows["id"],
            pa.array(numbers, pa.int32()),
            pa.array(inside.astype(np.float32), pa.float32()),
            pa.array(np.nan_to_num(np.clip(outlier, 0, 1)).astype(np.float32), pa.float32()),
        ],
        schema=pa.schema([rows.schema.field("id"), *schema]),
    )


def one_answer(rows: pa.Table, label: int, schema: pa.Schema) -> pa.Table:
    """Return the same label for every row: 0 with strength 1 where all are alike, or -1 where there are too few."""
    n = rows.num_rows
    return clusters_table(rows, np.full(n, label), np.ones(n), np.zeros(n), schema)


def note_result(table: pa.Table, note: Any) -> pa.Table:
    """Note the number of clusters and the share of noise, and return `table`."""
    numbers = table["cluster"].to_numpy()
    note("clusters", int(numbers.max(initial=-1)) + 1)
    note("noise", round(float((numbers == NOISE).mean()), 4) if len(numbers) else 0.0)
    return table
