"""The runs of a store, and the tables of a run."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from shoal.errors import StoreError, UsageError
from shoal.host import Host
from shoal.pipeline import Pipeline, parse
from shoal.pipeline.plan import IMAGE_COLUMNS, INDEX, Plan, PlannedStep, is_table, plan
from shoal.records import RunRecord
from shoal.runner.run import RECORD
from shoal.runner.state import FILES, IMAGES, RunState
from shoal.runner.telling import CONFIG
from shoal.store import Folder, Store


@dataclass(frozen=True)
class Run:
    """A run that was made: its record and its tables as Arrow.

    Attributes:
        store: that holds it.
        record: how it went.
        plan: what was run.
    """

    store: Store
    record: RunRecord
    plan: Plan

    @property
    def id(self) -> str:
        """Name of the run."""
        return self.record.id

    @property
    def folder(self) -> Folder:
        """Folder of the run's own files."""
        return self.store.runs / self.id

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline, every option written out."""
        return self.plan.pipeline

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
        files = self.files
        return files.filter(pc.not_equal(files["status"], "accepted")).select(["path", "step", "status", "reason"])

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
        planned = self._planned(step)
        state = self._state()
        if step == self.plan.index.name:
            return self.images
        if step not in state.digests:
            raise self._ended(f"step {step!r} was done")
        if is_table(planned):
            return state.answer(step).read()
        ids = self.images["id"].combine_chunks()
        names = planned.stage.produces().names
        return pa.table([ids, *state.rows(planned).read(ids, names)], names=["id", *names])

    def joined(self, columns: Sequence[str]) -> pa.Table:
        """Return `id` and columns of any steps, a row an image; null where a step made none for an image.

        Args:
            columns: names; where several steps make one, the last of them is meant, and `step.column` says another.
        """
        images = self.images
        answer = {"id": images["id"]}
        for column in columns:
            answer[column] = images["id"] if column == "id" else self._column(column, images)
        return pa.table(answer)

    def fragments(self, step: str) -> tuple[pa.Table, Path | None]:
        """Return what a visualiser made: its row, and the folder of its files where there are any."""
        files = self._state().answer(step).files
        local = files.local if files.local is not None and files.local.is_dir() and files.names() else None
        return self.table(step), local

    def done(self, step: str) -> bool:
        """Tell whether a step was done: those of a run that failed are, up to the one that failed."""
        return self.record.step(step) is not None

    def _listed(self, name: str) -> pa.Table:
        if not self.folder.exists(name):
            raise self._ended("its files were listed")
        return self.folder.read_table(name)

    def _ended(self, before: str) -> UsageError:
        why = f" ({reason(self.record)})" if self.record.error else ""
        return UsageError(f"run {self.id} ended before {before}{why}; give the same `shoal run` again to go on")

    def _planned(self, step: str) -> PlannedStep:
        names = [self.plan.index.name, *(planned.name for planned in self.plan.steps)]
        if step not in names:
            raise UsageError(f"run {self.id} has no step {step!r}; its steps are {', '.join(names)}")
        return self.plan.step(step)

    def _state(self) -> RunState:
        digests = {step.step: step.digest for step in self.record.steps if step.step != self.plan.index.name}
        return RunState(self.store, self.folder, self.plan, pa.table({}), digests=digests)

    def _column(self, column: str, images: pa.Table) -> pa.ChunkedArray:
        step, _, name = column.rpartition(".")
        if not step and name in IMAGE_COLUMNS.names:
            return images[name]
        makers = [
            planned for planned in self.plan.steps if name in planned.stage.produces().names and step in ("", planned.name)
        ]
        if not makers:
            raise UsageError(f"run {self.id} has no column {column!r}")
        maker = makers[-1]
        table = self.table(maker.name)
        if maker.stage.key == "id":
            return table[name].take(pc.index_in(images["id"], value_set=table["id"].combine_chunks()))
        members = self._column(f"{maker.sources['cluster'].step}.cluster", images)
        return table[name].take(pc.index_in(members, value_set=table["cluster"].combine_chunks()))


def reason(record: RunRecord) -> str:
    """Return in words why a run failed; empty for one that did not."""
    return "it was stopped" if record.error == KeyboardInterrupt.__name__ else record.error


def runs(store: Store) -> list[RunRecord]:
    """Return the records of the runs of a store, oldest first.

    Raises:
        StoreError: one is damaged.
    """
    found = []
    for name in store.runs.names():
        folder = store.runs / name
        if folder.exists(RECORD):
            try:
                found.append(RunRecord.model_validate(folder.read_json(RECORD)))
            except ValidationError as error:
                raise StoreError(f"{folder.uri}/{RECORD} is damaged or of another shoal; remove {folder.uri}") from error
    return sorted(found, key=lambda record: (record.started, record.id))


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
        return _load(store, host, done[-1])
    fit = [record for record in records if record.id.startswith(run)]
    if len(fit) != 1:
        known = ", ".join(record.id for record in (fit or records)[-5:]) or "none"
        if fit:
            raise UsageError(f"{len(fit)} runs begin with {run!r}; write more of the name: {known}")
        raise UsageError(f"no run begins with {run!r}; the last ones are {known}")
    return _load(store, host, fit[0])


def _load(store: Store, host: Host, record: RunRecord) -> Run:
    text = (store.runs / record.id).read(CONFIG).decode()
    return Run(store, record, plan(parse(text, host, where=f"run {record.id}")))


__all__ = ["INDEX", "Run", "open_run", "reason", "runs"]
