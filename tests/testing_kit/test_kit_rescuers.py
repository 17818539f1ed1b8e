"""The kit names each broken rule of rescuers."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shoal.contract import Context
from shoal.kinds import Rescuer
from shoal.testing import check_stage

from .stages import importable, refuses


class First(Rescuer):
    """A good rescuer: all noise goes to the smallest number."""

    name = "first"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        numbers = rows["cluster"].to_numpy()
        ids = rows["id"].take(pa.array(np.flatnonzero(numbers < 0)))
        cluster = int(numbers[numbers >= 0].min()) if (numbers >= 0).any() else None
        made = {name: [cluster if pa.types.is_integer(kind) else 0.5] * len(ids) for name, kind in self._kinds().items()}
        if cluster is None:
            made = {name: [None] * len(ids) for name in made}
        schema = pa.schema([rows.schema.field("id"), *self.produces()])
        return pa.table({"id": ids, **made}, schema=schema)

    def _kinds(self) -> dict[str, pa.DataType]:
        return {field.name: field.type for field in self.produces()}


def put(table: pa.Table, name: str, value: Any) -> pa.Table:
    place = table.column_names.index(name)
    return table.set_column(place, table.schema.field(name), pa.array([value] * len(table), table.schema.types[place]))


def test_a_good_one_passes() -> None:
    check_stage(First())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("suggested", 99, "suggested is 99, and there is no such cluster"),
        ("nearest", -1, "nearest is -1, and there is no such cluster"),
        ("score", None, "both are null, or neither"),
        ("nearest_score", 1.5, "nearest_score is 1.5; a cosine lies in -1 to 1"),
        ("suggested", 1, "cluster 1 is suggested, and the best is 0"),
        ("runner_up_score", 0.75, "the runner-up has 0.75, and the best 0.5"),
    ],
)
def test_a_broken_one_is_refused(name: str, value: Any, words: str) -> None:
    class Changed(First):
        def run(self, rows: pa.Table, context: Context) -> pa.Table:
            return put(super().run(rows, context), name, value)

    refuses(importable(Changed)(), words)


def test_only_noise_has_an_answer() -> None:
    class Eager(First):
        def run(self, rows: pa.Table, context: Context) -> pa.Table:
            answer = super().run(rows, context)
            return answer.set_column(0, answer.schema.field("id"), rows["id"].slice(0, len(answer)))

    refuses(importable(Eager)(), "has an answer; only noise has")
