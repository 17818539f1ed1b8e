"""A plugin whose labels are what an attacker would have a model say."""

import pyarrow as pa

from shoal.contract import Context
from shoal.hooks import hookimpl
from shoal.kinds import Labeller, Rescuer

LABELS = (
    "<script>alert(1)</script>" + "long " * 700,
    "\"'><img src=x onerror=alert(2)> a\u202egpj.exe\u2066",
    "</textarea></style><svg onload=alert(3)> {{7*7}}${7*7} <b>bold</b>",
)
"""One a cluster: a script, a picture that fails with text that runs backwards, and what would end a style."""


class Hostile(Labeller):
    """Gives each cluster a hostile name."""

    name = "hostile"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        numbers = sorted({number for number in rows["cluster"].to_pylist() if number >= 0})
        made = [{"cluster": number, "label": LABELS[number % len(LABELS)], "reason": LABELS[0]} for number in numbers]
        return pa.Table.from_pylist(made, schema=pa.schema([("cluster", pa.int32()), *self.produces()]))


class First(Rescuer):
    """Suggests the second cluster for the first image of noise, and nothing for the others."""

    name = "first"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        noise = [row["id"] for row in rows.to_pylist() if row["cluster"] < 0]
        made = [{"id": image, "suggested": 1, "best": 1, "score": 0.5, "runner_up": 2} for image in noise[:1]]
        return pa.Table.from_pylist(made, schema=pa.schema([("id", pa.string()), *self.produces()]))


@hookimpl
def shoal_stages() -> tuple[type, ...]:
    return (Hostile, First)
