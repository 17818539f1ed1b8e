"""The rules for table stages."""

import dataclasses
import hashlib
import pickle
import tempfile
from pathlib import Path

import pyarrow as pa

from shoal.contract import Context, TableStage
from shoal.kinds import Evaluator, Visualizer
from shoal.schema import ID, fits
from shoal.testing.answers import check_answers
from shoal.testing.common import difference, explain, fail, not_finite, schema_difference
from shoal.testing.options import check_pickle


def check_table(stage: TableStage, rows: pa.Table, atol: float, context: Context) -> None:
    """Check a table stage on `rows`, on parts of them, and without its optional columns."""
    _check_input(stage, rows)
    fresh = pickle.dumps(stage)
    stage.setup(context)
    check_pickle(stage, fresh)
    before = _digest(rows)
    first = _answer(stage, rows, context, f"{rows.num_rows} rows")
    if _digest(rows) != before:
        fail(stage, "run changes the rows that it is given; copy before you write")
    twin: TableStage = pickle.loads(pickle.dumps(stage))  # noqa: S301  (what was just written)
    twin.setup(context)
    half = rows.num_rows // 2
    chunked = pa.concat_tables([rows.slice(0, half), rows.slice(half)])
    for again, table, rule in (
        (stage, rows, "the same rows give another answer the second time"),
        (twin, rows, "a copy on another worker answers otherwise"),
        (stage, chunked, "the same rows in two chunks give another answer"),
    ):
        how = difference(first, _answer(again, table, context, "the same rows again"), atol)
        if how:
            fail(stage, f"{rule}: {how}; seed every random choice from an option")
    for few in (0, 1, 3):
        _answer(stage, rows.slice(0, few), context, f"{few} row{'' if few == 1 else 's'}")
    _answer(stage, _all_alike(rows), context, "rows that are all alike")
    if stage.optional.names:
        bare = rows.select([name for name in rows.column_names if name not in stage.optional.names])
        _answer(stage, bare, context, "rows without the optional columns")


def _check_input(stage: TableStage, rows: pa.Table) -> None:
    for field in stage.consumes:
        if field.name not in rows.column_names or not fits(rows.schema.field(field.name).type, field.type):
            raise ValueError(f"the rows lack the column {field.name!r} of type {field.type} that {stage.title()} consumes")
    if "id" not in rows.column_names:
        raise ValueError("the rows lack the column 'id'")


def _digest(rows: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _all_alike(rows: pa.Table) -> pa.Table:
    alike = rows.take([0] * rows.num_rows) if rows.num_rows else rows
    names = rows.column_names
    for name in ("id", "path", "paths", "source"):  # what is one image's own stays so
        if name in names:
            alike = alike.set_column(names.index(name), rows.schema.field(name), rows[name])
    return alike


def _answer(stage: TableStage, rows: pa.Table, context: Context, what: str) -> pa.Table:
    with tempfile.TemporaryDirectory(prefix="shoal-check-") as folder:
        own = dataclasses.replace(context, folder=Path(folder)) if isinstance(stage, (Visualizer, Evaluator)) else context
        try:
            table = stage.run(rows, own)
        except Exception as error:
            fail(stage, f"run raised on {what}: {explain(error)}")
        if not isinstance(table, pa.Table):
            fail(stage, f"run must return a pyarrow Table, and returned {type(table).__name__}")
        _check_schema(stage, table, what)
        table.validate(full=True)
        _check_keys(stage, rows, table, what)
        bad = not_finite(table)
        if bad:
            fail(stage, f"for {what} {bad}")
        check_answers(stage, rows, table, what, own.folder)
    return table


def _check_schema(stage: TableStage, table: pa.Table, what: str) -> None:
    if not table.column_names or table.column_names[0] != stage.key:
        fail(stage, f"for {what} the first column must be its key {stage.key!r}, and columns are {table.column_names}")
    key = ID.type if stage.key == "id" else pa.int32()
    if not table.schema.field(0).type.equals(key):
        fail(stage, f"for {what} the key {stage.key!r} is {table.schema.field(0).type}; it must be {key}")
    how = schema_difference(table.drop_columns([stage.key]).schema, stage.produces())
    if how:
        fail(stage, f"run returned another schema for {what}: {how} after the key")


def _check_keys(stage: TableStage, rows: pa.Table, table: pa.Table, what: str) -> None:
    keys = table[stage.key].to_pylist()
    if isinstance(stage, Visualizer):
        known: set[object] = {stage.name}
    elif stage.key == "cluster":
        known = (
            {value for value in rows["cluster"].to_pylist() if value >= 0} if "cluster" in rows.column_names else set(keys)
        )
    else:
        known = set(rows["id"].to_pylist())
    strange = [key for key in keys if key not in known]
    if strange:
        fail(stage, f"for {what} it answers for {stage.key} {strange[0]!r}, which it was not given")
    if stage.kind != "organize" and len(set(keys)) != len(keys):
        fail(stage, f"for {what} it answers more than once for {stage.key} {max(keys, key=keys.count)!r}")
