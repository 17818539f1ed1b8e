"""The runs of a store, and the tables of a run."""

import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import yaml
from pydantic import ValidationError

from shoal import redone
from shoal.decisions import NOISE, Answer, Considered, Decisions, Version
from shoal.decisions.numbering import numbering
from shoal.decisions.older import older
from shoal.decisions.standing import base_name, base_under, current
from shoal.errors import StoreError, UsageError
from shoal.host import Host
from shoal.pipeline import Pipeline, parse
from shoal.pipeline.plan import IMAGE_COLUMNS, INDEX
from shoal.records import RunRecord, StepRecord, clustering, labelling, rescuing
from shoal.runner.imageset import IMAGES, SLICE
from shoal.runner.run import RECORD
from shoal.runner.state import FILES, UNANSWERED, covered_file
from shoal.runner.telling import CONFIG
from shoal.store import Folder, Store, TableStore

KILLED = "its process was killed"
REVIEWED = {"cluster": "clusters.parquet", "label": "labels.parquet"}
"""Tables of a version, by the column that they bring."""

SUGGESTED = ("suggested", "best", "runner_up", "nearest")
"""Columns of a rescue step that hold numbers of clusters."""


@dataclass(frozen=True)
class Run:
    """A run that was made: its record and its tables as Arrow.

    Tables are found by what the record says, so they stay readable when stages have newer versions or are gone.

    Attributes:
        store: that holds it.
        record: how it went.
        host: plugins; asked only where a stage itself is wanted.
        at: number of the version to look at; 0 is what was computed, None the current version.
    """

    store: Store
    record: RunRecord
    host: Host
    at: int | None = None

    @property
    def id(self) -> str:
        """Name of the run."""
        return self.record.id

    @property
    def folder(self) -> Folder:
        """Folder of the run's own files."""
        return self.store.runs / self.id

    @cached_property
    def version(self) -> Version | None:
        """What people made of the clusters and labels; None: what was computed stands.

        Looked up once: a run that is open shows one version, whatever others do meanwhile. `look` opens another.

        Raises:
            UsageError: the run has no version of the number that was asked for.
        """
        if self.at == 0:
            return None
        if self.at is None:
            return current(self.versions)
        chosen = next((version for version in self.versions if version.number == self.at), None)
        if chosen is None:
            raise UsageError(f"run {self.id} has no version {self.at}; `shoal review history` lists those that it has")
        return chosen

    @property
    def versions(self) -> list[Version]:
        """Every version that was made of this run, the oldest first."""
        database = Decisions.found(self.store)
        return database.versions(self.id) if database is not None else []

    @property
    def base(self) -> str:
        """Name of the base whose numbers of clusters this run shows: answers to what it shows say it."""
        return base_name(base_under(self.version, self.versions))

    @property
    def considered(self) -> list[Considered]:
        """Answers about this run that were applied and changed nothing, the oldest first."""
        database = Decisions.found(self.store)
        return database.considered(self.id) if database is not None else []

    @property
    def revisions(self) -> list[Answer]:
        """Every revision of every answer about this run, the oldest first; those that older shoals remembered, too."""
        database = Decisions.found(self.store)
        return [*older(self.folder, self.id), *(database.revisions(self.id) if database is not None else [])]

    def look(self, at: int | None = None) -> "Run":
        """Return the run at a version: the current one as it is now, or the one of a number; 0 is what was computed."""
        return replace(self, at=at)

    @cached_property
    def pipeline(self) -> Pipeline:
        """The pipeline, every option written out.

        Raises:
            PipelineError: a stage or option of it is there no more.
        """
        return parse(self.folder.read(CONFIG).decode(), self.host, where=f"run {self.id}")

    @property
    def files(self) -> pa.Table:
        """Every file of the source: path, id, status (accepted, filtered, failed), step and reason.

        Raises:
            UsageError: the run ended before its files were listed.
        """
        return self._listed(FILES)

    @property
    def rejected(self) -> pa.Table:
        """The files that are not in the result: path, step, status, reason."""
        names = ["path", "step", "status", "reason"]
        if not self.folder.exists(FILES):
            return self.files.select(names)
        slices = self.folder.read_slices(FILES, names, SLICE)  # there may be many more files than rejected ones
        found = [rows.filter(pc.not_equal(rows["status"], "accepted")) for rows in slices]
        return pa.concat_tables(found) if found else self.files.select(names)

    @property
    def unanswered(self) -> pa.Table:
        """Images of the result that a step had no answer for (no caption): path, step, reason."""
        if not self.folder.exists(UNANSWERED):
            return pa.schema([("path", pa.string()), ("step", pa.string()), ("reason", pa.string())]).empty_table()
        table, images = self.folder.read_table(UNANSWERED), self.images
        table = table.filter(pc.is_in(table["id"], value_set=images["id"].combine_chunks()))
        paths = images["path"].take(pc.index_in(table["id"], value_set=images["id"].combine_chunks()))
        return pa.table({"path": paths, "step": table["step"], "reason": table["reason"]})

    @property
    def images(self) -> pa.Table:
        """The images of the result, sorted by id: id, path, paths, item, view, bytes, width, height, format, exif."""
        table = self._listed(IMAGES)
        files = self.files
        good = files.filter(pc.equal(files["status"], "accepted"))["id"]
        return table.filter(pc.is_in(table["id"], value_set=good.combine_chunks()))

    def table(self, step: str) -> pa.Table:
        """Return what a step made: its key column and its own.

        Raises:
            UsageError: no step of this run has that name, or the run ended before it.
        """
        made = self._step(step)
        if made.stage.startswith(f"{INDEX}."):
            return self.images
        if made.digest:
            return self._answer(made).read()
        ids = self._ids(made)
        rows = self.store.rows(made.stage, made.fingerprint)
        schema = rows.schema() or pa.schema([pa.field(name, pa.null()) for name in made.columns])
        return pa.table([ids, *rows.read(ids, schema)], names=["id", *schema.names])

    def _ids(self, made: StepRecord) -> pa.Array:
        """Return the ids of the result's images that a map step has rows for."""
        ids = self.images["id"].combine_chunks()
        if not made.part:
            return ids
        return ids.filter(pc.is_in(ids, value_set=self.folder.read_table(covered_file(made.step))["id"].combine_chunks()))

    def joined(self, columns: Sequence[str]) -> pa.Table:
        """Return `id` and columns of any steps, a row an image; null where a step made none for an image.

        Args:
            columns: names; where several steps make one, the last of them is meant, and `step.column` says another.
                `cluster` and `label` are those of the run's version, where it was reviewed, and suggestions are numbers of
                these clusters; `step.cluster` is what was computed.
        """
        images = self.images
        answer = {"id": images["id"]}
        for column in columns:
            answer[column] = images["id"] if column == "id" else self._column(column, images)
        return pa.table(answer)

    def current(self, step: str) -> pa.Table:
        """Return what a step made, as people left it: clusters, labels and suggestions are those of the run's version.

        An organiser's plan is what it would do now.
        """
        table = self.table(step)
        if self.version is None:
            return table
        planned = redone.plan(self, self._step(step))
        if planned is not None:
            return planned
        if step == labelling(self.record):
            return self.version_table("label")
        if step == rescuing(self.record):
            for column in SUGGESTED:
                table = self._renumbered(table, column)
        if step == clustering(self.record):
            reviewed = self.version_table("cluster")
            place = pc.index_in(table["id"], value_set=reviewed["id"].combine_chunks())
            table = table.set_column(table.column_names.index("cluster"), "cluster", reviewed["cluster"].take(place))
        return table

    def shown(self, step: str, column: str) -> str:
        """Return the name under which `joined` gives a step's column as people left it."""
        own = {"cluster": clustering(self.record), "label": labelling(self.record)}
        own |= dict.fromkeys(SUGGESTED, rescuing(self.record))
        return column if self.version is not None and own.get(column) == step else f"{step}.{column}"

    def version_table(self, column: str) -> pa.Table:
        """Return a table of the run's version: by `cluster` a row an image, by `label` a row a cluster.

        Raises:
            UsageError: the run was not reviewed.
        """
        if self.version is None:
            raise UsageError(f"run {self.id} was not reviewed, so it has no version")
        return (self.folder / self.version.folder).read_table(REVIEWED[column])

    def _renumbered(self, table: pa.Table, column: str) -> pa.Table:
        """Return a table with the computed clusters of a column as they are numbered now; null for those that are gone."""
        numbers = pa.array(list(self.numbering), pa.int32())
        place = pc.index_in(table[column], value_set=numbers)
        now = pa.array(list(self.numbering.values()), pa.int32()).take(place)
        return table.set_column(table.column_names.index(column), column, now)

    def _reviewed(self, column: str, images: pa.Table) -> pa.ChunkedArray:
        clusters = self.version_table("cluster")
        members = clusters["cluster"].take(pc.index_in(images["id"], value_set=clusters["id"].combine_chunks()))
        if column == "cluster":
            return members
        labels = self.version_table("label")
        return labels["label"].take(pc.index_in(members, value_set=labels["cluster"].combine_chunks()))

    @cached_property
    def numbering(self) -> Mapping[int, int]:
        """The number that each computed cluster has now; those that are gone are left out.

        An earlier run's numbers may have been carried to this one's clusters, and clusters may have been merged.
        """
        name = clustering(self.record)
        if name is None:
            return {}
        table = self.table(name)
        computed = dict(zip(table["id"].to_pylist(), table["cluster"].to_pylist(), strict=True))
        if self.version is None:
            return {number: number for number in computed.values()}
        there = {NOISE, *self.version_table("label")["cluster"].to_pylist()}
        return numbering(self.version_table("cluster"), computed, there)

    def fragments(self, step: str) -> tuple[pa.Table, Path | None]:
        """Return what a visualiser or an evaluator made: its rows, and the folder of its files where there are any.

        What shows clusters is drawn again, once a version, where the run was reviewed.
        """
        made = self._step(step)
        drawn = redone.drawing(self, self.version, made) if self.version is not None else None
        answer = drawn or self._answer(made)
        files = answer.files
        return answer.read(), files.fetched() if files.names() else None

    def done(self, step: str) -> bool:
        """Tell whether a step was done: those of a run that failed are, up to the one that failed."""
        return self.record.step(step) is not None

    def _listed(self, name: str) -> pa.Table:
        if not self.folder.exists(name):
            raise self.ended("its files were listed")
        return self.folder.read_table(name)

    def ended(self, before: str) -> UsageError:
        """Return the error that says that this run ended too early, and why."""
        why = f" ({reason(self.record)})" if self.record.error else ""
        return UsageError(f"run {self.id} ended before {before}{why}; give the same `shoal run` again to go on")

    def _step(self, name: str) -> StepRecord:
        made = self.record.step(name)
        if made is not None:
            return made
        names = _step_names(self.folder.read(CONFIG))
        if name in names:
            raise self.ended(f"step {name!r} was done")
        raise UsageError(f"run {self.id} has no step {name!r}; its steps are {', '.join(names)}")

    def _answer(self, made: StepRecord) -> TableStore:
        return self.store.tables(made.stage, made.fingerprint, made.digest)

    def _column(self, column: str, images: pa.Table) -> pa.ChunkedArray:
        step, _, name = column.rpartition(".")
        if not step and name in IMAGE_COLUMNS.names:
            return images[name]
        if not step and name in REVIEWED and self.version is not None:
            return self._reviewed(name, images)
        chosen = step or (
            clustering(self.record) if name == "cluster" else labelling(self.record) if name == "label" else ""
        )
        makers = [made for made in self.record.steps if name in made.columns and chosen in ("", made.step)]
        if not makers and self.record.status != "done":
            raise self.ended(f"column {column!r} was made")
        if not makers:
            raise UsageError(f"run {self.id} has no column {column!r}")
        maker = makers[-1]
        table = self.table(maker.step)
        if not step and name in SUGGESTED and self.version is not None and maker.step == rescuing(self.record):
            table = self._renumbered(table, name)
        if maker.key == "id":
            return table[name].take(pc.index_in(images["id"], value_set=table["id"].combine_chunks()))
        members = self._column(f"{maker.sources['cluster']}.cluster", images)
        return table[name].take(pc.index_in(members, value_set=table["cluster"].combine_chunks()))


def _step_names(config: bytes) -> list[str]:
    """Return the names of a run's steps, also where their stages are there no more."""
    steps = yaml.safe_load(config)["steps"]
    return [step.get("as") or step["use"].partition(".")[0] for step in steps]


def reason(record: RunRecord) -> str:
    """Return in words why a run failed; empty for one that did not."""
    return "it was stopped" if record.error == KeyboardInterrupt.__name__ else record.error


def runs(store: Store, most: int | None = None) -> list[RunRecord]:
    """Return the records of the runs of a store, oldest first.

    Args:
        store: that holds them.
        most: the last so many alone: runs are named by their times, and a bucket takes requests for each that is read.

    Raises:
        StoreError: one is damaged.
    """
    found: list[RunRecord] = []
    for name in reversed(store.runs.names()):
        if len(found) == most:
            break
        folder = store.runs / name
        if folder.exists(RECORD):
            try:
                found.append(_told_when_killed(RunRecord.model_validate(folder.read_json(RECORD))))
            except ValidationError as error:
                raise StoreError(f"{folder.uri}/{RECORD} is damaged or of another shoal; remove {folder.uri}") from error
    return sorted(found, key=lambda record: (record.started, record.id))


def _told_when_killed(record: RunRecord) -> RunRecord:
    """Return a record whose driver is gone as failed: who is killed can't write that down."""
    host, _, process = record.process.rpartition(":")
    if record.status != "running" or host != platform.node() or not process.isdigit():
        return record
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return record.model_copy(update={"status": "failed", "error": KILLED})
    except PermissionError:  # somebody else's process: it lives
        pass
    return record


def open_run(store: Store, host: Host, run: str | None = None) -> Run:
    """Return a run by its name or the beginning of it; without a name the last one that ended well.

    Raises:
        UsageError: there is none, or several begin so.
    """
    records = runs(store)
    if run is None:
        done = [record for record in records if record.status == "done"]
        if not done:
            where = store.root.uri
            raise UsageError(f"{where} holds no run that ended well; `shoal runs {shlex.quote(where)}` lists what there is")
        return Run(store, done[-1], host)
    fit = [record for record in records if record.id.startswith(run)]
    if len(fit) != 1:
        known = ", ".join(record.id for record in (fit or records)[-5:]) or "none"
        if fit:
            raise UsageError(f"{len(fit)} runs begin with {run!r}; write more of the name: {known}")
        raise UsageError(f"no run begins with {run!r}; the last ones are {known}")
    return Run(store, fit[0], host)
