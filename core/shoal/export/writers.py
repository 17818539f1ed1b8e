"""Tables to files a block of rows at a time, so that large ones need no second copy in memory."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.text import csv_cell
from shoal.vectors import to_numpy

BLOCK = 10_000
"""Rows that are turned into text at once."""

QUOTE = '"'
_SPECIAL = re.compile('[,"\r\n]')


def write_csv(path: Path, table: pa.Table) -> None:
    """Write a table of plain columns as UTF-8 CSV: a header, `.` in numbers, null as nothing, text defused for spreadsheets.

    Lists, structs and bytes have no place in a CSV cell: `plain` drops them.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(_line(csv_cell(name) for name in table.column_names))
        for batch in table.to_batches(max_chunksize=BLOCK):
            file.writelines(map(_line, zip(*(_cells(column) for column in batch.columns), strict=True)))


def _line(cells: Iterable[str]) -> str:
    """Return a row by RFC 4180, but for its end; Python's writer (3.11) leaves a carriage return without quotes."""
    quoted = (f'"{cell.replace(QUOTE, QUOTE * 2)}"' if _SPECIAL.search(cell) else cell for cell in cells)
    return (",".join(quoted) or QUOTE * 2) + "\n"


def _cells(column: pa.Array) -> list[str]:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return ["" if text is None else csv_cell(text) for text in column.to_pylist()]
    texts = column.cast(pa.string()).to_pylist()
    return ["" if text is None else text for text in texts]


def plain(table: pa.Table) -> pa.Table:
    """Return the columns of a table that a CSV cell can hold."""
    kept = [field.name for field in table.schema if not (pa.types.is_nested(field.type) or pa.types.is_binary(field.type)
            or pa.types.is_large_binary(field.type))]  # fmt: skip
    return table.select(kept)


def flat(table: pa.Table) -> pa.Table:
    """Return what a CSV file can hold of a table: plain columns, and lists of texts or whole numbers joined by commas."""
    columns = {field.name: _joined(table[field.name]) if _is_list(field.type) else table[field.name]
               for field in table.schema}  # fmt: skip
    return plain(pa.table(columns))


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    if not (types.is_list(kind) or types.is_large_list(kind)):
        return False
    inner = kind.value_type
    return bool(types.is_string(inner) or types.is_large_string(inner) or types.is_integer(inner))


def _joined(column: pa.ChunkedArray) -> pa.ChunkedArray:
    texts = [None if values is None else ", ".join(str(value) for value in values if value is not None)
             for chunk in column.chunks for values in chunk.to_pylist()]  # fmt: skip
    return pa.chunked_array([pa.array(texts, pa.string())])


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table as Parquet, in row groups small enough to be read one at a time."""
    import pyarrow.parquet as pq

    pq.write_table(table, path, row_group_size=BLOCK, compression="zstd")


def write_vectors(path: Path, column: pa.ChunkedArray) -> None:
    """Write a vector column without nulls as a NumPy file: float32 of shape (rows, components)."""
    size = column.type.list_size if pa.types.is_fixed_size_list(column.type) else 0
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(column), size)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
        for start in range(0, len(column), BLOCK):
            block = to_numpy(column.slice(start, BLOCK))
            file.write(np.ascontiguousarray(block, dtype="<f4").data)


def write_mapping(path: Path, pairs: Iterable[tuple[str, Any]]) -> None:
    """Write a JSON object, an entry a line, as the pairs come."""
    _write_json(
        path,
        "{}",
        (f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}" for key, value in pairs),
    )


def write_list(path: Path, values: Iterable[Any]) -> None:
    """Write a JSON array, a value a line, as the values come."""
    _write_json(path, "[]", (json.dumps(value, ensure_ascii=False) for value in values))


def _write_json(path: Path, brackets: str, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(brackets[0])
        for place, line in enumerate(lines):
            file.write(f"{',' if place else ''}\n{line}")
        file.write(f"\n{brackets[1]}\n")


def rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table as dicts, turned into Python a block at a time."""
    for batch in table.to_batches(max_chunksize=BLOCK):
        yield from batch.to_pylist()
