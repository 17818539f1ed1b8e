"""One pass over the images for all map steps that are ready."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shoal.contract import MapStage
from shoal.pipeline.plan import PlannedStep
from shoal.records import StepRecord
from shoal.runner.answering import Gather
from shoal.runner.chunking import cuts, recut
from shoal.runner.executors import Executor
from shoal.runner.failing import check_failures, over
from shoal.runner.happened import Happened
from shoal.runner.mapping import MapJob, MapTask
from shoal.runner.options import RunOptions, limits_key
from shoal.runner.placement import Placement
from shoal.runner.progress import Progress
from shoal.runner.reading import LOOKED_AT, landmarks
from shoal.runner.state import Choice, RunState, by_fingerprint


@dataclass
class _Wanted:
    """The steps of one fingerprint.

    Attributes:
        steps: more than one where the same stage is named twice.
        asked: which images each step is asked for.
        limits: under which errors hold; None: whatever is kept is computed again.
        rows: number of images that each step is asked for.
        computed: of these the ones without a row yet; one that several ask for is the first's.
        failed: of the images asked for, those that are known by now to have no answer.
        seconds, notes, passing: what the workers said.
    """

    steps: list[PlannedStep]
    asked: list[Choice]
    task: MapTask
    limits: str | None
    rows: list[int] = field(default_factory=list)
    computed: list[int] = field(default_factory=list)
    failed: int = 0
    seconds: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)
    passing: dict[str, str] = field(default_factory=dict)

    def pending(self, ids: pa.Array) -> pa.Array:
        """Return those of a slice's ids that are asked for and have no row yet, sorted."""
        return self._pending([choice.of(ids) for choice in self.asked])

    def _pending(self, asked: list[pa.Array]) -> pa.Array:
        ids = asked[0] if len(asked) == 1 else pc.unique(pa.concat_arrays(asked)).sort()
        if self.limits is None or not len(ids):
            return ids
        return self.task.rows.known(self.limits, ids).missing(ids)

    def count(self, ids: pa.Array) -> pa.Array:
        """Add a slice's ids to `rows` and `computed`; return those that are pending."""
        asked = [choice.of(ids) for choice in self.asked]
        pending = left = self._pending(asked)
        for number, mine in enumerate(asked):
            taken = pc.is_in(left, value_set=mine)
            self.rows[number] += len(mine)
            self.computed[number] += pc.sum(taken).as_py() or 0
            left = left.filter(pc.invert(taken))
        return pending

    def hear(self, receipt: dict[str, Any]) -> None:
        """Take in a chunk's receipt."""
        self.seconds += receipt["seconds"]
        self.failed += receipt["failed"]
        self.notes |= json.loads(receipt["notes"])
        self.passing |= json.loads(receipt["failures"])


def map_pass(
    state: RunState, steps: Sequence[PlannedStep], executor: Executor, options: RunOptions, progress: Progress
) -> list[StepRecord]:
    """Compute the missing rows of map steps that are ready, each image read once for all of them.

    Returns:
        A record a step, in the order of `steps`. Failures are put into `state`.
    """
    records: dict[str, StepRecord] = {}
    for alike in _by_placement(steps):
        for record in _one_pass(state, alike, executor, options, progress):
            records[record.step] = record
    return [records[step.name] for step in steps]


def _by_placement(steps: Sequence[PlannedStep]) -> list[list[PlannedStep]]:
    """Group steps whose workers need the same, so that a GPU is not held by a stage that has no use for it."""
    groups: dict[Placement, list[PlannedStep]] = {}
    for step in steps:
        groups.setdefault(placement(step), []).append(step)
    return list(groups.values())


def placement(step: PlannedStep) -> Placement:
    """Return what a step's workers are given: its `run:`, else what its stage declares."""
    needs, said = step.stage.needs(), step.settings
    return Placement(
        actors=said.actors or 0,
        cpus=needs.cpus if said.cpus is None else said.cpus,
        gpus=needs.gpus if said.gpus is None else said.gpus,
        stretch=said.cpus is None and isinstance(step.stage, MapStage),
    )


def _one_pass(
    state: RunState, steps: list[PlannedStep], executor: Executor, options: RunOptions, progress: Progress
) -> list[StepRecord]:
    place = placement(steps[0])
    wanted = [_want(state, group, options) for group in by_fingerprint(steps)]
    rows = _survey(state, wanted)
    todo = [entry for entry in wanted if any(entry.computed)]
    for entry in todo:
        entry.failed = _failed_before(state, entry)
        entry.task.rows.folder.sweep()
    name = " + ".join(step.name for step in steps)
    if todo:
        executor.prepare(rows, place)
    began, told = perf_counter(), Happened()
    if todo:
        gpu, cpus = executor.has_gpu(place), max(1, int(place.cpus))
        place = replace(place, gpus=place.gpus if gpu else 0.0)
        decoders = int(executor.size(place).cpus) if gpu else 1
        tasks = tuple(entry.task for entry in todo)
        job = MapJob(tasks, options.limits, gpu, cpus, decoders, _landmarks(state, tasks))
        progress.start(name, rows)
        # Closed at once when the pass is cut short: workers must not wait for the garbage collector.
        with closing(executor.map(job, _chunks(state, todo, place, rows), place, rows, told)) as receipts:
            for receipt in receipts:
                heard = receipt.to_pylist()
                for row in heard:
                    todo[row["task"]].hear(row)
                progress.advance(name, max(row["rows"] for row in heard))
                if any(row["crashed"] for row in heard):
                    _stop_where_hopeless(state, todo, options)
        progress.finish(name, f"{perf_counter() - began:.1f} s")
    wall = perf_counter() - began
    limits = limits_key(options.limits)
    return [record for entry in wanted for record in _records(state, entry, wall, told, limits)]


def _landmarks(state: RunState, tasks: Sequence[MapTask]) -> tuple[str, ...]:
    """Return a few of the images' files that the driver sees; none where no stage reads images."""
    images = next(state.images.slices(["paths"]), None)
    if images is None or all(task.stage.pixels is None for task in tasks):
        return ()
    return landmarks(paths[0] for paths in images["paths"].slice(0, LOOKED_AT).to_pylist())


def _want(state: RunState, group: list[PlannedStep], options: RunOptions) -> _Wanted:
    step = group[0]
    rows = state.rows(step)
    # What is made of rows that are computed again is computed again, too.
    force = any(link.name in options.force for member in group for link in _chain(state, member))
    stage = step.stage
    if not isinstance(stage, MapStage):
        raise TypeError(f"{stage.title()} is no map stage")
    task = MapTask(step.name, stage, rows, step.settings.batch or stage.needs().batch, rows.next_epoch() if force else 0)
    none = [0] * len(group)
    asked = [state.asked(member) for member in group]
    return _Wanted(group, asked, task, None if force else limits_key(options.limits), none.copy(), none.copy())


def _survey(state: RunState, wanted: list[_Wanted]) -> int:
    """Count, a slice at a time, what each step is asked for; return how many images some stage still needs."""
    rows = 0
    for images in state.images.slices(["id"]):
        ids = images["id"].combine_chunks()
        pending = [entry.count(ids) for entry in wanted]
        rows += len(pending[0]) if len(pending) == 1 else len(pc.unique(pa.concat_arrays(pending)))
    return rows


def _failed_before(state: RunState, entry: _Wanted) -> int:
    """Return how many of the images asked for are known from earlier runs to have no answer."""
    if entry.limits is None:
        return 0
    kept = pa.array(list(entry.task.rows.failed(entry.limits)), pa.string())
    return len({image for asked in entry.asked for image in _among(state, asked, kept)}) if len(kept) else 0


def _stop_where_hopeless(state: RunState, todo: list[_Wanted], options: RunOptions) -> None:
    """End a pass that can't but fail, though it is not over: each image that crashes its workers costs more of them.

    Raises:
        TooManyFailed: more images failed than the pipeline allows; those that did are noted in the state.
    """
    if not any(_hopeless(state, entry) for entry in todo):
        return
    for entry in todo:
        failures = entry.task.rows.failed(limits_key(options.limits)) | entry.passing
        for step, asked in zip(entry.steps, entry.asked, strict=True):
            _note_failures(state, step, asked, failures)
    check_failures(state, {step.name: rows for entry in todo for step, rows in zip(entry.steps, entry.rows, strict=True)})


def _hopeless(state: RunState, entry: _Wanted) -> bool:
    limit = state.plan.pipeline.max_failed
    if all(_rejects(state, step) for step in entry.steps):
        return over(len(state.failed) + entry.failed, state.images.count, limit)  # none of these failed before
    return len(entry.steps) == 1 and over(entry.failed, entry.rows[0], limit)


def _chain(state: RunState, step: PlannedStep) -> list[PlannedStep]:
    """Return a map step and the map steps that its rows are made of."""
    makers = [state.plan.step(name) for name in step.makers]
    return [step, *(link for maker in makers if isinstance(maker.stage, MapStage) for link in _chain(state, maker))]


def _rejects(state: RunState, step: PlannedStep) -> bool:
    """Tell whether an image that a step can't answer is rejected.

    Not by a step with `only`, nor by one made of its rows: these come after tables in which the image is counted.
    """
    essential = isinstance(step.stage, MapStage) and step.stage.essential
    return essential and not any(link.only for link in _chain(state, step))


def _chunks(state: RunState, todo: list[_Wanted], place: Placement, rows: int) -> Iterator[pa.Table]:
    """Yield the images that some stage still needs, cut by id into the part files to be; a slice is in memory at once."""
    sizes = (size for _, size in cuts(rows, max(place.actors, 2)))
    yield from recut(_needed(state, todo), sizes)


def _needed(state: RunState, todo: list[_Wanted]) -> Iterator[pa.Table]:
    """Yield the images of each slice that some stage still needs, with what it reads of them."""
    index = state.plan.index.name
    sources = [state.by_slice(entry.steps[0]) for entry in todo]
    read = [source.column for entry in todo for source in entry.steps[0].sources.values() if source.step == index]
    for images in state.images.slices(["id", "paths", *read]):
        kept = images["id"].combine_chunks()
        pending = [entry.pending(kept) for entry in todo]
        needs = [pc.is_in(kept, value_set=ids) for ids in pending]
        some = needs[0]
        for need in needs[1:]:
            some = pc.or_(some, need)
        columns: dict[str, Any] = {"id": kept, "paths": images["paths"]}
        for number, (source, ids, need) in enumerate(zip(sources, pending, needs, strict=True)):
            columns[f"need.{number}"] = need
            columns |= _consumed(source(images), ids, number, kept)
        yield pa.table(columns).filter(some)


def _consumed(gathers: Sequence[Gather], pending: pa.Array, number: int, kept: pa.Array) -> dict[str, Any]:
    """Return the columns that a map step reads of its pending images, null for the others."""
    rows = pc.index_in(kept, value_set=pending)
    found = {}
    for source in gathers:
        for name, values in source.gather(pending).items():
            whole = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
            found[f"in.{number}.{name}"] = whole.take(rows)
    return found


def _records(state: RunState, entry: _Wanted, wall: float, told: Happened, limits: str) -> list[StepRecord]:
    """Note the failures and return a record for each step of a fingerprint; a row that several ask for is the first's."""
    failures = entry.task.rows.failed(limits) | entry.passing
    records = []
    for step, asked, rows, computed in zip(entry.steps, entry.asked, entry.rows, entry.computed, strict=True):
        state.digests[step.name] = ""
        failed = _note_failures(state, step, asked, failures)
        facts: dict[str, Any] = {"rows": rows, "computed": computed, "cached": rows - computed}
        facts |= {"failed": failed, "part": step.name in state.covered}
        if computed:
            facts |= {
                **told.facts(),
                "seconds": wall,
                "backend": str(entry.notes.get("backend", "")),
                "notes": {**entry.notes, "stage_seconds": entry.seconds},
            }
        records.append(record_of(step).model_copy(update=facts))
    return records


def _note_failures(state: RunState, step: PlannedStep, asked: Choice, failures: dict[str, str]) -> int:
    """Put a step's failures into the state, and the ids that have rows where not all have; return how many failed."""
    bad = _among(state, asked, pa.array(list(failures), pa.string())) if failures else []
    if _rejects(state, step):
        state.failed |= {image: (step.name, failures[image]) for image in bad if image not in state.failed}
    elif bad:
        state.unanswered[step.name] = {image: failures[image] for image in bad}
    if not asked.sets and (not bad or _rejects(state, step)):
        return len(bad)  # all that are accepted have a row
    ids = asked.of(state.images.ids)
    good = ids.filter(pc.invert(pc.is_in(ids, value_set=pa.array(bad, pa.string())))) if bad else ids
    accepted = state.accepted()  # a step beside this one may have failed on images that this one answered
    if not (good.equals(accepted) or pc.all(pc.is_in(accepted, value_set=good), min_count=0).as_py()):
        state.covered[step.name] = good
    return len(bad)


def _among(state: RunState, asked: Choice, failed: pa.Array) -> list[str]:
    """Return the failed images that a step was asked for, sorted."""
    found: list[str] = []
    for images in state.images.slices(["id"]):
        ids = images["id"].combine_chunks()
        found += asked.of(ids.filter(pc.is_in(ids, value_set=failed))).to_pylist()
    return found


def record_of(step: PlannedStep) -> StepRecord:
    """Return the record of a step of which nothing is known yet."""
    stage = step.stage
    return StepRecord(
        step=step.name,
        stage=stage.title(),
        version=stage.version,
        options=stage.model_dump(mode="json"),
        fingerprint=step.fingerprint,
        key=stage.key,
        columns=stage.produces().names,
        sources={column: source.step for column, source in step.sources.items()},
    )
