"""The map worker: reads each file once, decodes once for each size asked for, feeds every stage, keeps the rows."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from shoal.contract import Batch, Context, ImageSpec, MapStage, RowsFailed
from shoal.errors import ImageError, ShoalError, StageError, StoreError
from shoal.images import ImageTimeout, Limits, read
from shoal.runner.feeding import Feeder
from shoal.runner.jobs import RECEIPT, clean, noting, pieces
from shoal.runner.options import limits_key
from shoal.runner.reading import read_image
from shoal.schema import ID
from shoal.store import ERRORS, RowStore

if TYPE_CHECKING:
    from shoal.contract import Pixels


@dataclass(frozen=True)
class MapTask:
    """One stage of a pass over the images.

    Attributes:
        step: name of the step.
        stage: the stage.
        rows: where its rows are kept.
        batch: rows a call.
        epoch: of a forced recomputation, else 0.
    """

    step: str
    stage: MapStage
    rows: RowStore
    batch: int
    epoch: int = 0

    @property
    def schema(self) -> pa.Schema:
        """Schema of its part files."""
        return pa.schema([ID, *self.stage.produces()])


@dataclass(frozen=True)
class MapJob:
    """A pass over the images that feeds several stages.

    A chunk has `id`, `paths`, and for task number i a boolean `need.i` and the consumed columns as `in.i.NAME`.

    Attributes:
        tasks: the stages.
        limits: what an image may cost.
        gpu: whether each worker has a GPU.
        threads: threads of native libraries a worker.
        decoders: threads that may decode at most, beside the model.
        landmarks: files that every worker must see.
    """

    tasks: tuple[MapTask, ...]
    limits: Limits
    gpu: bool = False
    threads: int = 1
    decoders: int = 1
    landmarks: tuple[str, ...] = ()

    def worker(self) -> "MapWorker":
        """Return a worker, its stages set up."""
        return MapWorker(self)

    def split(self, chunk: pa.Table, parts: int) -> list[pa.Table]:
        """Return a chunk in pieces of rows; one row that several stages need, a piece a stage."""
        found = pieces(chunk, parts)
        needs = [index for index in range(len(self.tasks)) if chunk[f"need.{index}"][0].as_py()]
        if found or len(needs) < 2:
            return found
        return [_needed_by(chunk, index) for index in needs]

    def reject(self, chunk: pa.Table, reason: str, lasting: bool) -> pa.Table:
        """Return the receipt of an image that no worker survives; a lasting reason is kept with the stage's errors."""
        index = next(index for index in range(len(self.tasks)) if chunk[f"need.{index}"][0].as_py())
        maker = _Maker(self.tasks[index], index, {}, limits_key(self.limits))
        maker.rows, maker.crashed = 1, True
        kept = maker.errors if lasting else maker.passing
        kept[chunk["id"][0].as_py()] = reason
        maker.keep()
        return pa.Table.from_pylist([maker.receipt(0.0)], schema=RECEIPT)


def _needed_by(chunk: pa.Table, index: int) -> pa.Table:
    """Return a chunk that only one of the stages needs."""
    for number, name in enumerate(chunk.column_names):
        if name.startswith("need.") and name != f"need.{index}":
            chunk = chunk.set_column(number, name, pa.array([False] * chunk.num_rows))
    return chunk


class MapWorker:
    """Computes chunks. Idempotent: the same chunk writes the same part files."""

    def __init__(self, job: MapJob) -> None:
        """Set up every stage of the job."""
        self.job = job
        self.notes: list[dict[str, Any]] = [{} for _ in job.tasks]
        self.feeder = Feeder(self._decode, job.decoders)
        for task, notes in zip(job.tasks, self.notes, strict=True):
            try:
                task.stage.setup(Context(gpu=job.gpu, threads=job.threads, note=noting(notes)))
            except Exception as error:  # a plugin may raise anything
                raise _of_step(error, task.step) from error

    def __call__(self, chunk: pa.Table) -> pa.Table:
        """Compute a chunk and return its receipt, a row a stage.

        Raises:
            StoreError: the images or the store can't be reached from here, or not now.
        """
        size = max(task.batch for task in self.job.tasks)
        limits = limits_key(self.job.limits)
        makers = [_Maker(task, i, self.notes[i], limits) for i, task in enumerate(self.job.tasks)]
        parts = [chunk.slice(start, size) for start in range(0, chunk.num_rows, size)]
        before = self.feeder.waited
        for part, pixels in zip(parts, self.feeder.feed(map(self._wanted, parts)), strict=True):
            for maker in makers:
                maker.feed(part, pixels)
        for maker in makers:
            maker.keep()
        if self.job.decoders > 1:
            self.notes[0]["decoders"] = self.feeder.threads
        reading = self.feeder.waited - before
        return pa.Table.from_pylist([maker.receipt(reading) for maker in makers], schema=RECEIPT)

    def _wanted(self, part: pa.Table) -> "list[_Wanted]":
        """Return, a row an image, its id, its paths, and each size that some stage needs of it."""
        specs = [task.stage.pixels for task in self.job.tasks]
        needs = [part[f"need.{index}"].to_pylist() for index in range(len(specs))]
        rows = zip(part["id"].to_pylist(), part["paths"].to_pylist(), strict=True)
        answer = []
        for row, (image, paths) in enumerate(rows):
            wanted = {spec for spec, need in zip(specs, needs, strict=True) if spec is not None and need[row]}
            answer.append((image, paths, wanted))
        return answer

    def _decode(self, row: "_Wanted") -> "dict[ImageSpec, Pixels | Exception]":
        return _decode_all(*row, self.job) if row[2] else {}


_Wanted = tuple[str, Sequence[str], set[ImageSpec]]


def _decode_all(
    image: str, paths: Sequence[str], wanted: set[ImageSpec], job: MapJob
) -> "dict[ImageSpec, Pixels | Exception]":
    try:
        data = _read_as_indexed(image, paths, job)
    except _Gone as error:
        return dict.fromkeys(wanted, error)
    specs = list(wanted)
    try:
        return dict(zip(specs, read(data, specs, job.limits).images, strict=True))
    except ImageError as error:
        return dict.fromkeys(specs, error)


def _of_step(error: Exception, step: str) -> StageError:
    """Return an error that says which of the steps of a pass it came from."""
    found = StageError(str(error) if isinstance(error, ShoalError) else f"{type(error).__name__}: {error}")
    found.step = step
    return found


class _Gone(Exception):  # noqa: N818  (an outcome, carried with its row)
    """The bytes that were indexed are under none of the image's paths any more: the image itself is not at fault."""


def _read_as_indexed(image: str, paths: Sequence[str], job: MapJob) -> bytes:
    reason = ""
    silent: StoreError | None = None
    for path in paths:
        try:
            data = read_image(path, job.limits, job.landmarks)
        except StoreError as error:  # another path may lie elsewhere
            silent = error
            continue
        except ImageError as error:
            reason = reason or str(error)
            continue
        if hashlib.sha256(data).hexdigest() == image:
            return data
        reason = reason or f"{path} changed while the run went on; run again to take its new content"
    if silent is not None:
        raise silent
    raise _Gone(reason)


class _Maker:
    """Gathers one stage's rows of a chunk."""

    def __init__(self, task: MapTask, index: int, notes: dict[str, Any], limits: str) -> None:
        self.task, self.index, self.notes, self.limits = task, index, notes, limits
        self.tables: list[pa.Table] = []
        self.errors: dict[str, str] = {}
        self.passing: dict[str, str] = {}
        self.rows = 0
        self.crashed = False
        self.seconds = 0.0

    def feed(self, part: pa.Table, pixels: "list[dict[ImageSpec, Pixels | Exception]]") -> None:
        """Take the rows of `part` that this stage needs, in batches."""
        chosen = [row for row, need in enumerate(part[f"need.{self.index}"].to_pylist()) if need]
        self.rows += len(chosen)
        spec = self.task.stage.pixels
        good: list[int] = []
        images: list[Any] = []
        for row in chosen:
            found = pixels[row].get(spec) if spec is not None else None
            if isinstance(found, Exception):
                self._fail(part["id"][row].as_py(), found)
                continue
            good.append(row)
            images.append(found)
        began = time.perf_counter()
        for start in range(0, len(good), self.task.batch):
            rows = self._columns(part.take(pa.array(good[start : start + self.task.batch], pa.int64())))
            self._answer(Batch(rows, images[start : start + self.task.batch] if spec is not None else None))
        self.seconds += time.perf_counter() - began

    def _columns(self, part: pa.Table) -> pa.Table:
        prefix = f"in.{self.index}."
        names = [name for name in part.column_names if name.startswith(prefix)]
        return pa.table({"id": part["id"], **{name.removeprefix(prefix): part[name] for name in names}})

    def _answer(self, batch: Batch) -> None:
        """Ask the stage; where it raises, ask row by row, so that one bad row costs only itself."""
        if not len(batch):
            return
        try:
            answer = self.task.stage.answer(batch)
        except RowsFailed as some:
            for row, reason in some.failures.items():
                self._fail(batch.rows["id"][row].as_py(), reason)
            good = [row for row in range(len(batch)) if row not in some.failures]
            batch, answer = Batch(batch.rows.take(pa.array(good, pa.int64()))), some.answered
        except Exception as error:  # whatever a plugin raises is its row's failure
            if len(batch) == 1:
                self._fail(batch.rows["id"][0].as_py(), error)
                return
            for row in range(len(batch)):
                images = None if batch.images is None else batch.images[row : row + 1]
                self._answer(Batch(batch.rows.slice(row, 1), images))
            return
        self._check(answer, batch)
        self.tables.append(pa.table([batch.rows["id"], *answer.columns], schema=self.task.schema))

    def _check(self, answer: pa.Table, batch: Batch) -> None:
        title, want = self.task.stage.title(), self.task.stage.produces()
        wrong = ""
        if not answer.schema.equals(want):  # nullability and metadata included: part files must read as one
            wrong = f"the columns {_short(answer.schema)}, and its produces() says {_short(want)}"
        elif answer.num_rows != len(batch):
            wrong = f"{answer.num_rows} rows to a batch of {len(batch)}"
        if wrong:
            raise _of_step(StageError(f"{title} answered {wrong}"), self.task.step)

    def _fail(self, image: str, error: Exception) -> None:
        """Keep the reason for ever where the bytes are at fault; pass it on where it may be gone next time."""
        if isinstance(error, ImageError) and not isinstance(error, ImageTimeout):
            self.errors[image] = str(error)
        elif isinstance(error, (_Gone, ImageTimeout)):
            self.passing[image] = str(error)
        else:
            self.passing[image] = str(error) if isinstance(error, ShoalError) else f"{type(error).__name__}: {error}"

    def keep(self) -> None:
        """Write the rows as one part file, and the reasons of the failures as another; both sorted by id."""
        if self.tables:
            self.task.rows.write(pa.concat_tables(self.tables).sort_by("id").combine_chunks(), self.task.epoch)
        rows = [
            {"id": image, "error": clean(reason), "limits": self.limits} for image, reason in sorted(self.errors.items())
        ]
        self.task.rows.write_errors(pa.Table.from_pylist(rows, schema=ERRORS), self.task.epoch)

    def receipt(self, reading: float) -> dict[str, Any]:
        """Return what the driver hears."""
        return {
            "task": self.index,
            "rows": self.rows,
            "computed": sum(table.num_rows for table in self.tables) + len(self.errors),
            "failed": len(self.errors) + len(self.passing),
            "crashed": self.crashed,
            "seconds": self.seconds,
            "reading": reading if self.index == 0 else 0.0,
            "notes": json.dumps(self.notes),
            "failures": json.dumps({image: clean(reason) for image, reason in self.passing.items()}),
        }


def _short(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)
