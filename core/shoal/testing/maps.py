"""The rules for map stages."""

import pickle
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from shoal.contract import Batch, Context, MapStage
from shoal.schema import fits
from shoal.testing.common import difference, explain, fail, not_finite, schema_difference
from shoal.testing.options import check_pickle


def check_map(stage: MapStage, batch: Batch, atol: float, context: Context) -> None:
    """Check a map stage on the rows of `batch`, put together in many ways."""
    _check_input(stage, batch)
    fresh = pickle.dumps(stage)
    stage.setup(context)
    check_pickle(stage, fresh)
    copies = [image.copy() for image in batch.images or ()]
    whole = _answer(stage, batch, "all rows in one batch")
    if not all(np.array_equal(*pair) for pair in zip(batch.images or (), copies, strict=True)):
        fail(stage, "map changes the pixels that it is given; other stages read the same arrays")
    bad = not_finite(whole)
    if bad:
        fail(stage, f"{bad}; a row that can't be answered must raise")
    again = _answer(stage, batch, "the same rows again")
    _same(stage, whole, again, atol, "the same rows give another answer the second time")
    _check_batches(stage, batch, whole, atol)
    twin: MapStage = pickle.loads(pickle.dumps(stage))  # noqa: S301  (what was just written)
    twin.setup(context)
    rule = "a copy on another worker answers otherwise, so rows depend on more than options"
    _same(stage, whole, _answer(twin, batch, "another worker"), atol, rule)
    _check_bad_row(stage, batch, whole, atol)


def _check_input(stage: MapStage, batch: Batch) -> None:
    if len(batch) < 3:
        raise ValueError(f"check_stage needs at least 3 rows to split, and got {len(batch)}")
    for field in stage.consumes:
        if field.name not in batch.rows.column_names or not fits(batch.rows.schema.field(field.name).type, field.type):
            raise ValueError(f"the rows lack the column {field.name!r} of type {field.type} that {stage.title()} consumes")
    if (batch.images is None) != (stage.image is None):
        raise ValueError(f"`image` of {stage.title()} is {stage.image}: give images if and only if it asks for pixels")
    if batch.images is not None and len(batch.images) != len(batch):
        raise ValueError(f"there are {len(batch.images)} images for {len(batch)} rows")


def _answer(stage: MapStage, batch: Batch, what: str) -> pa.Table:
    try:
        table = stage.answer(batch)
    except Exception as error:
        fail(stage, f"map raised on {what}: {explain(error)}")
    return _checked(stage, batch, table, what)


def _checked(stage: MapStage, batch: Batch, table: pa.Table, what: str) -> pa.Table:
    if not isinstance(table, pa.Table):
        fail(stage, f"map must return a pyarrow Table, and returned {type(table).__name__}")
    how = schema_difference(table.schema, stage.produces())
    if how:
        fail(stage, f"map returned another schema for {what}: {how}")
    if table.num_rows != len(batch):
        fail(stage, f"map returned {table.num_rows} rows for {what}, which are {len(batch)}; each row needs one answer")
    table.validate(full=True)
    return table


def _same(stage: MapStage, want: pa.Table, have: pa.Table, atol: float, rule: str) -> None:
    how = difference(want, have, atol)
    if how:
        smaller = "" if "differs by" not in how else f" (atol is {atol:g})"
        fail(stage, f"{rule}: {how}{smaller}")


def _take(batch: Batch, places: Sequence[int]) -> Batch:
    images = None if batch.images is None else [batch.images[place] for place in places]
    return Batch(batch.rows.take(pa.array(places, pa.int64())), images)


def _check_batches(stage: MapStage, batch: Batch, whole: pa.Table, atol: float) -> None:
    empty = _answer(stage, _take(batch, []), "an empty batch")
    n = len(batch)
    for size in sorted({1, 2, 3, n - 1}):
        pieces = [range(start, min(start + size, n)) for start in range(0, n, size)]
        parts = [_answer(stage, _take(batch, places), f"a batch of {len(places)}") for places in pieces]
        rule = f"a row's answer depends on its batch, seen when the rows come {size} at a time"
        _same(stage, whole, pa.concat_tables([empty, *parts]), atol, rule)
    back = list(range(n - 1, -1, -1))
    reverse = _answer(stage, _take(batch, back), "the rows in reverse order")
    _same(stage, whole.take(back), reverse, atol, "the answers do not follow the rows when their order is reversed")


def _check_bad_row(stage: MapStage, batch: Batch, whole: pa.Table, atol: float) -> None:
    """Put a row that can't be answered in the middle: it may raise, or get an answer, but no other row may change."""
    middle = len(batch) // 2
    spoilt = _spoil(stage, batch, middle)
    if spoilt is None:
        return
    others = [place for place in range(len(batch)) if place != middle]
    try:
        mixed = stage.answer(spoilt)
    except Exception:  # the runner goes on row by row
        _bad_alone(stage, _take(spoilt, [middle]))
        for place in others:
            alone = _answer(stage, _take(batch, [place]), "a row after a bad one")
            _same(stage, whole.slice(place, 1), alone, atol, "a bad row disturbs the rows after it")
        return
    mixed = _checked(stage, spoilt, mixed, "a batch with a bad row")
    _same(stage, whole.take(others), mixed.take(others), atol, "a bad row disturbs the other rows of its batch")
    _bad_alone(stage, _take(spoilt, [middle]))


def _spoil(stage: MapStage, batch: Batch, place: int) -> Batch | None:
    """Return the batch with an image without pixels, or with a null in the first consumed column; None: takes neither."""
    if batch.images is not None:
        images = list(batch.images)
        images[place] = np.empty((0, 0, 3), dtype=np.uint8)
        return Batch(batch.rows, images)
    if not stage.consumes.names:
        return None
    name = stage.consumes.names[0]
    column = batch.rows[name].combine_chunks()
    values = [None if row == place else value for row, value in enumerate(column.to_pylist())]
    spoilt = pa.array(values, column.type)
    return Batch(batch.rows.set_column(batch.rows.column_names.index(name), pa.field(name, column.type), spoilt))


def _bad_alone(stage: MapStage, row: Batch) -> None:
    try:
        answer = stage.answer(row)
    except Exception:  # what the contract asks for
        return
    how = not_finite(_checked(stage, row, answer, "a bad row alone"))
    if how:
        fail(stage, f"a row that can't be answered must raise, and here {how}")
