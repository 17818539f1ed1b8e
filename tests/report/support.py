from collections.abc import Sequence

import pyarrow as pa

from shoal.report import Fragment, Report

STEPS = pa.schema(
    [
        ("step", pa.string()),
        ("stage", pa.string()),
        ("backend", pa.string()),
        ("seconds", pa.float64()),
        ("rows", pa.int64()),
        ("computed", pa.int64()),
        ("cached", pa.int64()),
        ("failed", pa.int64()),
        ("rate", pa.float64()),
    ]
)
CLUSTERS = pa.schema([("cluster", pa.int32()), ("label", pa.string()), ("size", pa.int64()), ("reason", pa.string())])
REJECTED = pa.schema([("path", pa.string()), ("step", pa.string()), ("status", pa.string()), ("reason", pa.string())])


def make_report(
    fragments: Sequence[Fragment] = (),
    steps: Sequence[Sequence[object]] = (),
    clusters: Sequence[Sequence[object]] = (),
    rejected: Sequence[Sequence[object]] = (),
    title: str = "a title",
    commands: Sequence[str] = (),
) -> Report:
    def table(rows: Sequence[Sequence[object]], schema: pa.Schema) -> pa.Table:
        return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)

    summary = [("images", "3"), ("clusters", "1")]
    return Report(
        title, "run-1", "2026-10-14", summary, table(steps, STEPS), table(clusters, CLUSTERS), table(rejected, REJECTED),
        fragments, commands,
    )  # fmt: skip
