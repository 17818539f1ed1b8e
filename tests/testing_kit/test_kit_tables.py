"""The kit names each broken rule of table stages, their kinds, and indexers."""

import ctypes
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from shoal.contract import Context, TableStage
from shoal.testing import check_stage

from .stages import Count, Cut, First, Places, Sign, Walk, Words, importable, refuses, table_of


class TestTables:
    """Rules of table stages and their kinds."""

    def refused(self, cls: type[TableStage], words: str, change: Any) -> None:
        class Changed(cls):  # type: ignore[misc,valid-type]
            def run(self, rows: pa.Table, context: Context) -> pa.Table:
                return change(super().run(rows, context), rows)

        refuses(importable(Changed)(), words)

    @pytest.mark.parametrize(
        ("cls", "change", "words"),
        [
            (Sign, lambda t, r: t.select(["cluster", "id", "strength", "outlier"]), "first column must be its key 'id'"),
            (Sign, lambda t, r: put(t, "cluster", pa.int64()), "column 'cluster' is int64"),
            (Sign, lambda t, r: t.set_column(0, "id", [["?"] * len(t)]), "id '\\?', which it was not given"),
            (Sign, lambda t, r: pa.concat_tables([t, t]), "more than once for id"),
            (Sign, lambda t, r: t.slice(1), "1 rows got no answer"),
            (Sign, lambda t, r: fill(t, "cluster", -2), "noise is -1"),
            (Sign, lambda t, r: fill(t, "cluster", 1), "number them from 0 by falling size"),
            (Sign, lambda t, r: fill(t, "cluster", -1), "a noise row has a strength"),
            (Sign, lambda t, r: fill(t, "outlier", 7), "outlier goes from 7 to 7"),
            (Sign, lambda t, r: fill(t, "outlier", None), "is null"),
            (Sign, lambda t, r: fill(t, "outlier", random.random()), "the second time: row 0 of 'outlier' differs"),
            (Sign, lambda t, r: t if len(t) else 1 / 0, "run raised on 0 rows: ZeroDivisionError"),
            (Sign, lambda t, r: t if len(t) != 3 else 1 / 0, "run raised on 3 rows"),
            (Sign, lambda t, r: not_alike(t, r),  # noqa: PLW0108  (defined below)
             "rows that are all alike"),
            (Sign, lambda t, r: t if r["embedding"].num_chunks < 2 else fill(t, "outlier", 1), "in two chunks"),
            (Sign, lambda t, r: None, "must return a pyarrow Table"),
            (Places, lambda t, r: fill(t, "target", "../a") if len(t) == 1 else t, "'../a' is not a path below the root"),
            (Places, lambda t, r: fill(t, "target", "a"), "two files go to 'a'"),
            (Places, lambda t, r: fill(t, "target", None), "null"),
            (Places, lambda t, r: t if "label" in r.column_names else 1 / 0, "without the optional columns"),
            (Words, lambda t, r: fill(t, "label", "same"), "two clusters are called 'same'"),
            (Words, lambda t, r: fill(t, "label", ""), "a label is empty"),
            (Words, lambda t, r: t.slice(1), "cluster 0 has no label"),
            (Words, lambda t, r: fill(t, "cluster", 99), "cluster 99, which it was not given"),
            (First, lambda t, r: fill(t, "rank", 3), "count 0, 1, 2"),
            (First, lambda t, r: t.slice(1), "has no representative"),
            (First, lambda t, r: fill(t, "rank", None), "a rank is null"),
            (Cut, lambda t, r: fill(t, "embedding", [float("nan"), 0.0]), "NaN"),
            (Cut, lambda t, r: fill(t, "embedding", None), "a vector is null"),
            (Count, lambda t, r: fill(t, "html", "<script>1</script>"), "holds a script"),
            (Count, lambda t, r: fill(t, "html", '<a onclick="x()">'), "holds a script"),
            (Count, lambda t, r: fill(t, "html", '<img src="files/b.png">'), "files/b.png, which it did not write"),
            (Count, lambda t, r: fill(t, "html", ""), "its html is empty"),
            (Count, lambda t, r: fill(t, "id", "other"), "id 'other', which it was not given"),
            (Count, lambda t, r: t.slice(0, 0), "returned 0 fragments"),
        ],
    )  # fmt: skip
    def test_each_rule(self, cls: type[TableStage], change: Any, words: str) -> None:
        self.refused(cls, words, change)

    def test_noise_has_no_representative(self) -> None:
        class Noisy(First):
            def run(self, rows: pa.Table, context: Context) -> pa.Table:
                return table_of(self, rows["id"], [0] * rows.num_rows)

        refuses(importable(Noisy)(), "noise has a representative")

    def test_rows_that_are_changed(self) -> None:
        class Writing(Sign):
            def run(self, rows: pa.Table, context: Context) -> pa.Table:
                address = rows["embedding"].chunk(0).values.buffers()[1].address
                ctypes.c_uint8.from_address(address).value ^= 1
                return super().run(rows, context)

        refuses(importable(Writing)(), "changes the rows")


def put(table: pa.Table, name: str, kind: pa.DataType) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, table[name].cast(kind))


def fill(table: pa.Table, name: str, value: Any) -> pa.Table:
    place = table.column_names.index(name)
    return table.set_column(place, table.schema.field(name), pa.array([value] * len(table), table.schema.types[place]))


def not_alike(table: pa.Table, rows: pa.Table) -> pa.Table:
    values = rows["embedding"].to_pylist()
    return table if not values or values[0] != values[-1] or len(values) < 2 else 1 / 0


class TestIndexers:
    """Rules of indexers."""

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda t, s: t.take(random.sample(range(len(t)), len(t))), "differ"),
            (lambda t, s: t.drop_columns(["view"]), "wrong schema: columns are"),
            (lambda t, s: pa.concat_tables([t, t]), "more than once"),
            (lambda t, s: fill(t, "reason", "no"), "accepted no file"),
            (lambda t, s: fill(t, "failed", True), "failed without a reason"),
        ],
    )
    def test_each_rule(self, change: Any, words: str) -> None:
        class Changed(Walk):
            def list_files(self, source: str) -> Iterator[pa.Table]:
                for table in super().list_files(source):
                    yield change(table, source)

        random.seed(3)
        refuses(importable(Changed)(), words)

    def test_a_missing_source(self) -> None:
        class Patient(Walk):
            def list_files(self, source: str) -> Iterator[pa.Table]:
                if os.path.isdir(source):
                    yield from super().list_files(source)

        refuses(importable(Patient)(), "must raise UsageError, and was listed")

    def test_a_source_of_its_own(self, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").touch()
        check_stage(Walk(), source=tmp_path)
