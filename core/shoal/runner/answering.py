"""The table job: gathers a table stage's columns from the store, runs it where it was sent, keeps the answer."""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shoal.contract import Context, TableStage
from shoal.errors import StageError
from shoal.kinds import Evaluator, Visualizer
from shoal.runner.jobs import noting
from shoal.runner.ordered import ascends, bounds
from shoal.schema import ID
from shoal.store import Folder, RowStore, TableStore

CACHE = Path.home() / ".cache" / "shoal"
COMPLETE = ("reduce", "cluster")
"""Kinds that answer every image that they are shown: what they left out would be in no cluster and in no list."""


@dataclass(frozen=True)
class Column:
    """One consumed column: its name for the stage, and its name where it is kept."""

    name: str
    kept: str


@dataclass(frozen=True)
class FromRows:
    """Columns of a map stage, which makes those of `schema`. `have`: the ids that have rows; None: all. Others get null."""

    rows: RowStore
    columns: tuple[Column, ...]
    schema: pa.Schema
    have: pa.Array | None = None

    def held(self) -> "FromRows":
        """Return itself: it reads only the part files in which some ids are."""
        return self

    def gather(self, ids: pa.Array) -> dict[str, pa.Array]:
        """Return the columns for `ids`."""
        some = ids if self.have is None else ids.filter(pc.is_in(ids, value_set=self.have))
        arrays = self.rows.read(some, pa.schema([self.schema.field(column.kept) for column in self.columns]))
        if len(some) != len(ids):
            places = pc.index_in(ids, value_set=some)
            arrays = [array.take(places) for array in arrays]
        return {column.name: array for column, array in zip(self.columns, arrays, strict=True)}


@dataclass(frozen=True)
class FromTable:
    """Columns of a table by id: a table stage's answer, or the images of the run. Ids that it lacks get null."""

    folder: Folder
    name: str
    columns: tuple[Column, ...]

    def held(self) -> "Held":
        """Return the same from memory, for who asks slice by slice: the table is read once."""
        table = self.folder.read_table(self.name, ["id", *dict.fromkeys(column.kept for column in self.columns)])
        if not ascends(table["id"]):
            table = table.take(pc.sort_indices(table["id"]))
        return Held(pa.table({"id": table["id"], **{column.name: table[column.kept] for column in self.columns}}))

    def gather(self, ids: pa.Array) -> dict[str, pa.Array]:
        """Return the columns for `ids`."""
        table = self.folder.read_table(self.name, ["id", *dict.fromkeys(column.kept for column in self.columns)])
        if not table["id"].combine_chunks().equals(ids):
            table = table.take(pc.index_in(ids, value_set=table["id"].combine_chunks()))
        return {column.name: table[column.kept] for column in self.columns}


@dataclass(frozen=True)
class Held:
    """Columns of a table by id that is in memory: `id`, ascending, and others. Ids that it lacks get null."""

    rows: pa.Table

    def gather(self, ids: pa.Array) -> dict[str, pa.Array]:
        """Return the columns for ascending `ids`; it costs no more than the rows between the first and the last of them."""
        start, stop = bounds(self.rows["id"], ids)
        some = self.rows.slice(start, stop - start)
        rows = some.take(pc.index_in(ids, value_set=some["id"].combine_chunks()))
        return {name: rows[name] for name in rows.column_names if name != "id"}


@dataclass(frozen=True)
class FromClusters:
    """Columns of a table by cluster, given to each image through the cluster that it lies in."""

    table: FromTable
    clusters: "FromTable | Held"

    def held(self) -> "FromClusters":
        """Return the same with who lies in which cluster in memory, for who asks slice by slice."""
        return FromClusters(self.table, self.clusters if isinstance(self.clusters, Held) else self.clusters.held())

    def gather(self, ids: pa.Array) -> dict[str, pa.Array]:
        """Return the columns for `ids`; null for noise."""
        members, columns = self.clusters.gather(ids)["cluster"], self.table.columns
        table = self.table.folder.read_table(self.table.name, ["cluster", *(column.kept for column in columns)])
        rows = pc.index_in(members, value_set=table["cluster"].combine_chunks())
        return {column.name: table[column.kept].take(rows) for column in columns}


@dataclass(frozen=True)
class Given:
    """Columns that are at hand: `id` and others, a row an image."""

    rows: pa.Table

    def gather(self, ids: pa.Array) -> dict[str, pa.Array]:
        """Return the columns for `ids`."""
        rows = self.rows.take(pc.index_in(ids, value_set=self.rows["id"].combine_chunks()))
        return {name: rows[name] for name in rows.column_names if name != "id"}


Kept = FromRows | FromTable | FromClusters
Gather = Kept | Given | Held


@dataclass(frozen=True)
class TableJob:
    """A table stage and what it needs to be answered anywhere.

    Attributes:
        stage: the stage.
        ids: images that it sees, sorted.
        inputs: where its columns are.
        answer: where its answer is kept.
        gpu: whether it has a GPU.
        threads: threads of native libraries; the same wherever it runs, since sums in another order have other last bits.
        facts: what to keep beside the answer.
    """

    stage: TableStage
    ids: pa.Array
    inputs: tuple[Gather, ...]
    answer: TableStore
    gpu: bool
    threads: int
    facts: Mapping[str, Any] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Answer, keep the answer, and return its facts: seconds, rows, notes."""
        from threadpoolctl import threadpool_limits

        notes: dict[str, Any] = {}
        began = time.perf_counter()
        with threadpool_limits(self.threads), self._folder() as folder:
            context = Context(gpu=self.gpu, threads=self.threads, cache=CACHE, folder=folder, note=noting(notes))
            rows = self._rows()
            self.stage.setup(context)
            answer = _keyed(self.stage, self.stage.run(rows, context))
        _check(self.stage, answer, rows)
        facts = {**self.facts, "notes": notes, "seconds": time.perf_counter() - began, "rows": len(self.ids)}
        self.answer.write(answer, facts)
        return facts

    def _rows(self) -> pa.Table:
        columns: dict[str, pa.Array] = {"id": self.ids}
        for source in self.inputs:
            columns.update(source.gather(self.ids))
        order = ["id", *(name for name in columns if name != "id")]
        return self._without_nulls(pa.table({name: columns[name] for name in order}))

    def _without_nulls(self, rows: pa.Table) -> pa.Table:
        """Leave out rows that lack a consumed column: noise has no label, a picked image no rank."""
        for name in self.stage.consumes.names:
            if rows[name].null_count:
                rows = rows.filter(pc.is_valid(rows[name]))
        return rows

    def _folder(self) -> AbstractContextManager[Path | None]:
        return self.answer.files.filled() if isinstance(self.stage, (Visualizer, Evaluator)) else nullcontext()


def _key(stage: TableStage) -> pa.Field:
    return ID if stage.key == "id" else pa.field("cluster", pa.int32())


def _keyed(stage: TableStage, answer: pa.Table) -> pa.Table:
    """Return an answer with its keys in the type of keys: a column made of an empty list has none."""
    key = _key(stage)
    if answer.column_names[:1] != [key.name] or answer.schema.field(0).type == key.type:
        return answer
    return answer.set_column(0, key.name, answer[key.name].cast(key.type))


def _check(stage: TableStage, answer: pa.Table, rows: pa.Table) -> None:
    """Hold an answer against the contract.

    Raises:
        StageError: other columns than `produces()` says, a key twice, or an id that was not shown.
    """
    title = stage.title()
    key = _key(stage)
    want = [key.name, *stage.produces().names]
    if answer.column_names != want:
        raise StageError(f"{title} answered the columns {answer.column_names}, and its contract says {want}")
    for column in stage.produces():
        have = answer.schema.field(column.name).type
        if have != column.type:
            raise StageError(f"{title} answered {column.name} as {have}, and its produces() says {column.type}")
    keys = answer[key.name]
    if stage.kind != "organize" and pc.count_distinct(keys).as_py() != len(keys):
        raise StageError(f"{title} answered some {key.name} twice")
    if stage.kind in COMPLETE and answer.num_rows != rows.num_rows:
        raise StageError(f"{title} answered {answer.num_rows} of {rows.num_rows} images; this kind answers all of them")
    shown = rows["id"] if stage.key == "id" else rows["cluster"]
    if not isinstance(stage, Visualizer) and len(keys):
        known = pc.is_in(keys, value_set=pc.unique(shown))
        if not pc.all(known).as_py():
            raise StageError(f"{title} answered a {key.name} that it was not shown")
