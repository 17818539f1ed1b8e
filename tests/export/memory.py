"""A run whose tables lie in memory: small, exact, and with hostile text in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from shoal.decisions import Answer, Considered, Version
from shoal.pipeline import Pipeline, Step
from shoal.schema import vector

from .stages import Brightest, First, Flat, Folder, Formula, Mean, Nothing

IDS = ["a" * 64, "b" * 64, "c" * 64, "d" * 64]
IMAGES = pa.table(
    {
        "id": IDS,
        "path": ["/p/=1.png", '/p/ä, "b".png', "/p/c.png", "/p/d\n.png"],
        "paths": [["/p/=1.png"], ['/p/ä, "b".png'], ["/p/c.png", "/p/c2.png"], ["/p/d\n.png"]],
        "width": pa.array([1, 2, 3, 4], pa.int32()),
    }
)
FILES = pa.table(
    {
        "path": ["/p/=1.png", '/p/ä, "b".png', "/p/c.png", "/p/c2.png", "/p/d\n.png", "/p/bad.png"],
        "id": [*IDS[:3], IDS[2], IDS[3], None],
        "status": ["accepted"] * 5 + ["failed"],
        "step": pa.array([None] * 5 + ["index"], pa.string()),
        "reason": pa.array([None] * 5 + ["-cut off"], pa.string()),
    }
)
VECTORS = [[0.5, 1.0, 2.0], [1.5, 0.0, -2.0], [0.25, 0.0, 0.0], [0.0, 0.0, 0.125]]
TABLES = {
    "embed": pa.table({"id": IDS, "embedding": pa.array(VECTORS, vector(3))}),
    "cluster": pa.table(
        {
            "id": IDS,
            "cluster": pa.array([0, -1, 0, 1], pa.int32()),
            "strength": pa.array([0.1, 0.0, 1.0, 0.25], pa.float32()),
            "outlier": pa.array([0.0, 1.0, None, 0.5], pa.float32()),
        }
    ),
    "sample": pa.table({"id": [IDS[0], IDS[2], IDS[3]], "rank": pa.array([1, 0, 0], pa.int32())}),
    "label": pa.table(
        {"cluster": pa.array([1, 0], pa.int32()), "label": ["=cmd()", "fish"], "reason": ["+x", "two\nlines"]}
    ),
    "organize": pa.table(
        {"id": [IDS[2], IDS[2]], "source": ["/p/c.png", "/p/c2.png"], "target": ["fish/c.png", "fish/c2\u202e.png"]}
    ),
    "visualize": pa.table({"id": ["x"], "title": ["t"], "html": ["h"], "style": [""], "script": [""]}),
}
STEPS = (Folder(), Mean(), Brightest(), First(), Formula(), Flat(), Nothing())


@dataclass(frozen=True)
class Files:
    """The files of a run, by name."""

    kept: dict[str, bytes] = field(default_factory=dict)

    def exists(self, name: str) -> bool:
        return name in self.kept

    def read(self, name: str) -> bytes:
        return self.kept[name]


@dataclass(frozen=True)
class InMemory:
    """A run as `shoal.export` wants it."""

    pipeline: Pipeline = field(default_factory=lambda: Pipeline.of(STEPS, name="memory"))
    tables: dict[str, pa.Table] = field(default_factory=lambda: dict(TABLES))
    images: pa.Table = field(default_factory=lambda: IMAGES)
    folder: Files = field(default_factory=Files)
    files: pa.Table = field(default_factory=lambda: FILES)
    left: dict[str, Path] = field(default_factory=dict)
    revisions: tuple[Answer, ...] = ()
    considered: tuple[Considered, ...] = ()
    id: str = "memory"
    version: Version | None = None
    versions: tuple[Version, ...] = ()

    def only(self, *names: str) -> "InMemory":
        """Return a run whose pipeline ends early."""
        steps = tuple(step for step in self.pipeline.steps if step.name in ("index", *names))
        return replace(self, pipeline=Pipeline.of(steps))

    def plus(self, step: Step, table: pa.Table) -> "InMemory":
        """Return a run with one more step at its end."""
        return replace(self, pipeline=Pipeline.of((*self.pipeline.steps, step)), tables={**self.tables, step.name: table})

    def table(self, step: str) -> pa.Table:
        return self.tables[step]

    def current(self, step: str) -> pa.Table:
        return self.tables[step]

    def shown(self, step: str, column: str) -> str:
        return f"{step}.{column}"

    def version_table(self, column: str) -> pa.Table:
        raise AssertionError(f"nobody reviewed this run, and its table of {column} is asked for")

    def fragments(self, step: str) -> tuple[pa.Table, Path | None]:
        return self.tables[step], self.left.get(step)

    def joined(self, columns: Sequence[str]) -> pa.Table:
        made = {"id": self.images["id"]}
        for column in columns:
            step, _, name = column.rpartition(".")
            if not step:
                made[column] = self.images[name]
                continue
            table = self.tables[step]
            key = "id" if "id" in table.column_names else "cluster"
            have = self.images["id"] if key == "id" else self.joined(["cluster.cluster"])["cluster.cluster"]
            made[column] = table[name].take(pc.index_in(have, value_set=table[key].combine_chunks()))
        return pa.table(made)
