"""What the checks share: how a failure reads, and how two tables differ."""

from typing import Any, NoReturn

import numpy as np
import pyarrow as pa

from shoal.contract import Stage


def fail(stage: Stage, sentence: str) -> NoReturn:
    """Raise the AssertionError that tells which rule `stage` breaks."""
    raise AssertionError(f"{type(stage).__name__} ({stage.title()}) breaks the contract: {sentence}")


def explain(error: BaseException) -> str:
    """Return an exception as the end of a sentence."""
    return f"{type(error).__name__}: {error}"


def schema_difference(have: pa.Schema, want: pa.Schema) -> str:
    """Return how two schemas differ, in a few words, or an empty string."""
    if have.names != want.names:
        return f"columns are {have.names}, produces() says {want.names}"
    for got, field in zip(have, want, strict=True):
        if not got.type.equals(field.type):
            return f"column {field.name!r} is {got.type}, produces() says {field.type}"
        if got.nullable != field.nullable:
            words = ("nullable", "not nullable")
            return f"column {field.name!r} is {words[not got.nullable]}, produces() says {words[not field.nullable]}"
    return ""


def difference(one: pa.Table, other: pa.Table, atol: float) -> str:
    """Return where two tables of one schema differ by more than `atol`, in a few words, or an empty string."""
    if one.num_rows != other.num_rows:
        return f"{one.num_rows} rows against {other.num_rows}"
    for name in one.column_names:
        left, right = one[name].combine_chunks(), other[name].combine_chunks()
        if left.equals(right):
            continue
        for row, (a, b) in enumerate(zip(left.to_pylist(), right.to_pylist(), strict=True)):
            how = _values_differ(a, b, atol)
            if how:
                return f"row {row} of {name!r} {how}"
    return ""


def _values_differ(one: Any, other: Any, atol: float) -> str:
    if one is None or other is None:
        return "" if one is other else f"is {_short(one)} against {_short(other)}"
    if not (_numeric(one) and _numeric(other)):
        return "" if one == other else f"is {_short(one)} against {_short(other)}"
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if a.shape != b.shape:
        return f"has shape {a.shape} against {b.shape}"
    if np.allclose(a, b, rtol=0.0, atol=atol, equal_nan=True):
        return ""
    return f"differs by {float(np.nanmax(np.abs(a - b))):.3g}"


def _numeric(value: Any) -> bool:
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, float) or (isinstance(first, int) and not isinstance(first, bool))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def not_finite(table: pa.Table) -> str:
    """Return which column holds NaN or infinity, in a few words, or an empty string."""
    for name in table.column_names:
        values = table[name].combine_chunks()
        if pa.types.is_fixed_size_list(values.type) or pa.types.is_list(values.type):
            values = values.flatten()
        if pa.types.is_floating(values.type) and not np.isfinite(values.drop_null().to_numpy(zero_copy_only=False)).all():
            return f"column {name!r} holds NaN or infinity"
    return ""
