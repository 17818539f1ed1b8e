"""What a run knows as it goes: its images, which of them failed where, and where each step's answer is kept."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from shoal.contract import TableStage
from shoal.pipeline.plan import CONTENT_COLUMNS, Plan, PlannedStep, Source, is_table
from shoal.runner.answering import Column, FromClusters, FromRows, FromTable, Gather, Given, Kept
from shoal.runner.imageset import IMAGES, ImageSet
from shoal.runner.ordered import ascending, near
from shoal.store import Folder, RowStore, Store, TableStore
from shoal.store.tables import hash_column

FILES = "files.parquet"
UNANSWERED = "unanswered.parquet"


def covered_file(step: str) -> str:
    """Return the name of the run's file that says which images a map step has rows for, where not all have."""
    return f"covered-{step}.parquet"


@dataclass(frozen=True)
class Choice:
    """Which images a step is done for: those of all `sets`, without those that failed before.

    Attributes:
        failed: ids, ascending.
        sets: ids, ascending; none of them where no table and no step that answered some images only says which.
    """

    failed: pa.Array
    sets: tuple[pa.Array, ...] = ()

    def of(self, ids: pa.Array) -> pa.Array:
        """Return those of some ascending ids that are chosen, in order. A slice of ids costs no more than itself."""
        if len(self.failed):
            ids = ids.filter(pc.invert(pc.is_in(ids, value_set=near(self.failed, ids))))
        for chosen in self.sets:
            some = near(chosen, ids)
            if not some.equals(ids):
                ids = ids.filter(pc.is_in(ids, value_set=some))
        return ids


@dataclass
class RunState:
    """The state of one run.

    Attributes:
        store, folder, plan: of the run.
        images: of the run.
        failed: (step, reason) by id of the images that a map step could not answer.
        unanswered: the same by step, for steps without whose rows an image stays in the result.
        covered: ids that have rows, by map step that has some only.
        digests: digest by name of the table steps that are answered; map steps that are done have an empty one.
    """

    store: Store
    folder: Folder
    plan: Plan
    images: ImageSet
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    unanswered: dict[str, dict[str, str]] = field(default_factory=dict)
    covered: dict[str, pa.Array] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    def accepted(self) -> pa.Array:
        """Return the ids of the images that no step failed on, sorted."""
        return self._choice_of_all().of(self.images.ids)

    def _choice_of_all(self) -> Choice:
        return Choice(ascending(pa.array(list(self.failed), pa.string())))

    def rows(self, step: PlannedStep) -> RowStore:
        """Return where a map step's rows are kept."""
        return self.store.rows(step.stage.title(), step.fingerprint)

    def answer(self, name: str) -> TableStore:
        """Return where an answered table step's answer is kept."""
        step = self.plan.step(name)
        return self.store.tables(step.stage.title(), step.fingerprint, self.digests[name])

    def ready(self, step: PlannedStep) -> bool:
        """Tell whether every step that it reads is done."""
        return all(name in self.digests or name == self.plan.index.name for name in step.inputs)

    def asked(self, step: PlannedStep) -> Choice:
        """Return which images a map step is done for: those that it shall be, with a row in what it reads."""
        shown = self._choice(step)
        if not step.only:
            return shown
        picked = pa.concat_arrays([self.answer(name).read(["id"])["id"].combine_chunks() for name in step.only])
        return Choice(shown.failed, (*shown.sets, ascending(picked)))

    def shown(self, step: PlannedStep) -> pa.Array:
        """Return the ids that a step can see: accepted, and with a row in every table that it must have."""
        return self._choice(step).of(self.images.ids)

    def _choice(self, step: PlannedStep) -> Choice:
        names = {source.step for column, source in step.sources.items() if column in step.required}
        having = [self._having(name) for name in sorted(names)]
        return Choice(self._choice_of_all().failed, tuple(have for have in having if have is not None))

    def _having(self, name: str) -> pa.Array | None:
        """Return the ids that have a row of a step; None where all have, or where rows are not by image."""
        if name == self.plan.index.name:
            return None
        maker = self.plan.step(name)
        if not is_table(maker):
            return self.covered.get(name)
        return ascending(self.answer(name).read(["id"])["id"].combine_chunks()) if maker.stage.key == "id" else None

    def digest(self, step: PlannedStep, ids: pa.Array, force: bool = False) -> str:
        """Return the digest of what a table step sees, with the number of the answer that stands for it.

        Rows are named by how they were made, so no vector has to be read to know whether it is another one; answers of
        table steps by their content, so that a forced one that came out the same changes nothing after it.

        Args:
            step: the step.
            ids: images that it sees.
            force: give the number of an answer that is still to be made.
        """
        inputs = {column: self._version(column, source, ids) for column, source in sorted(step.sources.items())}
        digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode())
        digest.update(hash_column(ids).encode())
        digest.update(self._outside(step, ids).encode())
        return self.store.newest(step.stage.title(), step.fingerprint, digest.hexdigest(), force)

    def _outside(self, step: PlannedStep, ids: pa.Array) -> str:
        """Return what a table stage says of the files that it reads by itself."""
        if not isinstance(step.stage, TableStage) or type(step.stage).outside is TableStage.outside:
            return ""
        names = [column for column, source in step.sources.items() if source.step == self.plan.index.name]
        return step.stage.outside(pa.table({"id": ids} | {name: self._index_values(name, ids) for name in names}))

    def _version(self, column: str, source: Source, ids: pa.Array) -> str:
        """Return what tells the values of a consumed column from others."""
        if source.step == self.plan.index.name:
            return "content" if column in CONTENT_COLUMNS.names else hash_column(self._index_values(column, ids))
        step = self.plan.step(source.step)
        if not is_table(step):
            have = self.covered.get(step.name)
            some = ids if have is None else ids.filter(pc.is_in(ids, value_set=have))
            which = "" if len(some) == len(ids) else f"/{hash_column(some)}"
            return f"{step.fingerprint}/{self.rows(step).version(some)}{which}"
        through = self.answer(source.by_cluster_of).facts()["content"] if source.by_cluster_of else ""
        return f"{self.answer(source.step).facts()['content']}/{through}"

    def _index_values(self, column: str, ids: pa.Array) -> pa.ChunkedArray:
        kept = self.images.ids
        values = self.images.column(column)
        return values if kept.equals(ids) else values.take(pc.index_in(ids, value_set=kept))

    def gathers(self, step: PlannedStep) -> tuple[Gather, ...]:
        """Return where a step's columns are to be had, one entry a source."""
        return tuple(self._gather(step, name, clusters, columns) for name, clusters, columns in _by_source(step))

    def by_slice(self, step: PlannedStep) -> Callable[[pa.Table], tuple[Gather, ...]]:
        """Return what tells the same for one slice of the images after the other; tables are read once, not for each.

        Returns:
            A function that takes `id` and the index's columns of a slice.
        """
        index = self.plan.index.name
        own = [columns for name, _, columns in _by_source(step) if name == index]
        others = [self._gather(step, *source).held() for source in _by_source(step) if source[0] != index]
        return lambda images: (*(given(images, columns) for columns in own), *others)

    def _gather(self, reader: PlannedStep, name: str, clusters: str | None, columns: tuple[Column, ...]) -> Kept:
        if name == self.plan.index.name:
            return FromTable(self.folder, IMAGES, columns)
        step = self.plan.step(name)
        if not is_table(step):
            # A map step asks for rows that are there; another of its fingerprint, done with it, asks for others of them.
            have = self.covered.get(name) if is_table(reader) else None
            return FromRows(self.rows(step), columns, step.stage.produces(), have)
        answer = self.answer(name)
        table = FromTable(answer.folder, answer.table, columns)
        if clusters is None:
            return table
        members = self.answer(clusters)
        return FromClusters(table, FromTable(members.folder, members.table, (Column("cluster", "cluster"),)))


def given(images: pa.Table, columns: Sequence[Column]) -> Given:
    """Return columns that are at hand under the names that a stage has for them."""
    return Given(pa.table({"id": images["id"], **{column.name: images[column.kept] for column in columns}}))


def _by_source(step: PlannedStep) -> list[tuple[str, str | None, tuple[Column, ...]]]:
    """Return the steps that a step reads, by whose clusters each is read, and its columns."""
    grouped: dict[tuple[str, str | None], list[Column]] = {}
    for name, source in step.sources.items():
        grouped.setdefault((source.step, source.by_cluster_of), []).append(Column(name, source.column))
    return [(*source, tuple(columns)) for source, columns in grouped.items()]


def by_fingerprint(steps: Sequence[PlannedStep]) -> list[list[PlannedStep]]:
    """Group steps that are the same stage over the same inputs: computed once."""
    groups: dict[str, list[PlannedStep]] = {}
    for step in steps:
        groups.setdefault(step.fingerprint, []).append(step)
    return list(groups.values())
