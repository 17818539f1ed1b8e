"""One run from the source to its record."""

import json
import os
import platform
import secrets
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from time import perf_counter

import pyarrow as pa
import pyarrow.compute as pc

from shoal.contract import MapStage
from shoal.errors import RunFailed, ShoalError, UsageError
from shoal.host import Host
from shoal.kinds import Indexer
from shoal.pipeline.plan import Plan, PlannedStep
from shoal.records import RunRecord, StepRecord, clustering
from shoal.runner.environment import commit, versions
from shoal.runner.executors import Executor
from shoal.runner.failing import TooManyFailed, check_failures
from shoal.runner.happened import Happened
from shoal.runner.heartbeat import beating, job_name
from shoal.runner.imageset import IMAGES, SLICE, ImageSet
from shoal.runner.indexing import FILES as FILES_SCHEMA
from shoal.runner.indexing import (
    IndexJob,
    chunks,
    file_table,
    image_table,
    match,
    next_epoch,
    one_item_an_image,
    seen_before,
)
from shoal.runner.jobs import clean
from shoal.runner.options import RunOptions
from shoal.runner.passes import map_pass, record_of
from shoal.runner.placement import Placement
from shoal.runner.progress import Progress
from shoal.runner.reading import LOOKED_AT, landmarks
from shoal.runner.rounds import table_round
from shoal.runner.state import FILES, UNANSWERED, RunState, covered_file
from shoal.runner.telling import CONFIG, tell
from shoal.runner.told import Indexed, index_told
from shoal.sources import is_local
from shoal.store import Folder, Store

RECORD = "run.json"
PROBE_SECONDS = 0.00015
"""Reading, hashing and looking at the header of a file takes 0.12 ms of a core once the disk gave it."""
FETCH_SECONDS = 0.01
"""The same from an object store, where most of it is waiting for an answer."""
INDEX_CHUNK = 2048


@dataclass
class _Run:
    """A run under way."""

    host: Host
    plan: Plan
    source: str
    store: Store
    options: RunOptions
    progress: Progress
    record: RunRecord
    folder: Folder
    executor: Executor


def execute(
    plan: Plan,
    source: str,
    store: Store,
    host: Host,
    options: RunOptions,
    progress: Progress,
    settle: Callable[[RunRecord], None],
) -> RunRecord:
    """Run a plan over the images of a source.

    Everything that is computed is kept at once, so a run that is stopped or killed goes on where it was when the same
    command is given again.

    Args:
        plan: what to run.
        source: the images, as the index stage takes them.
        store: where everything is kept.
        host: plugins whose hooks are told.
        options: how it runs.
        progress: hears how far it is.
        settle: called with the record when the run ended, well or not: reports and trackers.

    Raises:
        RunFailed: a step failed, or more images failed than the pipeline allows; the record says which.
        UsageError: the source can't be listed, a step to force is unknown, Ray can't be reached.
    """
    _check_force(plan, options)
    run = _begin(plan, source, store, host, options, progress)
    began = perf_counter()
    try:
        with beating(run.folder, progress) as run.progress:
            _work(run)
        run.record.status = "done"
    except BaseException as error:
        run.record.status = "failed"
        run.record.error = clean(str(error) or type(error).__name__)
        raise
    finally:
        run.record.startup = round(run.executor.start_seconds, 3)
        run.record.seconds = round(perf_counter() - began, 3)
        try:
            settle(run.record)
            _save(run)
        finally:  # last: Ray takes a second or two to end, and nobody who reads the run waits for it
            run.executor.close()
    return run.record


def _work(run: _Run) -> None:
    state = _index(run)
    try:
        _steps(run, state)
    finally:
        _account(run, state)
    _count_clusters(run, state)


def _check_force(plan: Plan, options: RunOptions) -> None:
    known = {plan.index.name, *(step.name for step in plan.steps)}
    for name in sorted(options.force - known):
        raise UsageError(
            f"--force names {name!r}, which is no step of {plan.pipeline.name}; steps are {', '.join(sorted(known))}"
        )


def _begin(plan: Plan, source: str, store: Store, host: Host, options: RunOptions, progress: Progress) -> _Run:
    now = datetime.now(UTC)
    name = f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}{secrets.token_hex(1)}"
    record = RunRecord(
        id=name,
        pipeline=plan.pipeline.name,
        source=source,
        started=now.isoformat(timespec="milliseconds"),
        commit=commit(),
        versions=versions(),
        process=f"{platform.node()}:{os.getpid()}",
        job=job_name(),
    )
    run = _Run(host, plan, source, store, options, progress, record, store.runs / name, Executor(options, progress.tell))
    run.folder.write(CONFIG, plan.pipeline.to_yaml().encode())
    _save(run)
    return run


def _index(run: _Run) -> RunState:
    """List the source, read what is new, and write the run's files and images."""
    step, began = run.plan.index, perf_counter()
    if not isinstance(step.stage, Indexer):
        raise UsageError(f"the first step must be an index stage, and {step.stage.title()} is none")
    tables = (table for table in step.stage.list_files(run.source) if table.num_rows)
    first = next(tables, None)
    if first is None:
        raise UsageError(f"{run.source} holds no file; name a folder of images")
    listing = chain([first], tables)
    told = first["sha256"].null_count < first.num_rows
    happened = Happened()
    found = index_told(run.folder, listing, step.name) if told else _index_read(run, pa.concat_tables(listing), happened)
    run.record.files, run.record.images = found.files, found.images.count
    facts = {
        **(happened.facts() if found.computed else {"where": "cached"}),
        "seconds": perf_counter() - began,
        "rows": found.files,
        "computed": found.computed,
        "cached": found.cached,
        "failed": found.failed,
    }
    _note(run, record_of(step).model_copy(update=facts))
    if not found.images.count:
        reasons = run.folder.read_table(FILES, ["reason"])["reason"].to_pylist()
        reason, times = Counter(reasons).most_common(1)[0]
        raise RunFailed(
            f"none of the {len(reasons)} files of {run.source} is an image that can be read; {times} of them: {reason}"
        )
    return RunState(run.store, run.folder, run.plan, found.images)


def _index_read(run: _Run, listing: pa.Table, happened: Happened) -> Indexed:
    """Read the files that were never seen; write the run's files and images."""
    name = run.plan.index.name
    good = listing.filter(pc.is_null(listing["reason"]))
    seen = seen_before(run.store.index, run.options.limits)
    new = good if name in run.options.force else good.filter(pc.is_null(match(good, seen)))
    passing: dict[str, str] = {}
    if new.num_rows:
        passing = _read(run, new, happened)
        seen = seen_before(run.store.index, run.options.limits)
    files = one_item_an_image(file_table(listing, seen, passing, name), name)
    images = image_table(files, seen)
    run.folder.write_table(FILES, files)
    run.folder.write_table(IMAGES, images)
    failed = pc.sum(pc.equal(files["status"], "failed")).as_py()
    there = ImageSet(run.folder, images.num_rows, images)
    return Indexed(there, files.num_rows, failed, new.num_rows, good.num_rows - new.num_rows)


def _read(run: _Run, new: pa.Table, told: Happened) -> dict[str, str]:
    """Read files that were never seen; return the reasons of those that could not be, by path."""
    name = run.plan.index.name
    passing: dict[str, str] = {}
    run.progress.start(name, new.num_rows)
    epoch = next_epoch(run.store.index) if name in run.options.force else 0
    job = IndexJob(run.store.index, run.options.limits, epoch, landmarks(new["path"].slice(0, LOOKED_AT).to_pylist()))
    place = Placement(seconds_a_row=PROBE_SECONDS if is_local(new["path"][0].as_py()) else FETCH_SECONDS)
    with closing(run.executor.map(job, chunks(new, INDEX_CHUNK), place, new.num_rows, told)) as receipts:
        for receipt in receipts:
            passing |= _failures(receipt)
            run.progress.advance(name, receipt["rows"][0].as_py())
    run.progress.finish(name, f"{new.num_rows} files read")
    return passing


def _failures(receipt: pa.Table) -> dict[str, str]:
    return dict(json.loads(receipt["failures"][0].as_py()))


def _steps(run: _Run, state: RunState) -> None:
    """Do the steps as they become ready: one pass over the images for all map steps that are, then the tables that are."""
    waiting = list(run.plan.steps)
    while waiting:
        ready = [step for step in waiting if state.ready(step)]
        maps = [step for step in ready if isinstance(step.stage, MapStage)]
        try:
            work = map_pass if maps else table_round
            records = work(state, maps or ready, run.executor, run.options, run.progress)
        except (UsageError, TooManyFailed):
            raise
        except Exception as error:  # a plugin may raise anything
            told = str(error) if isinstance(error, ShoalError) else f"{type(error).__name__}: {error}"
            step = getattr(error, "step", "")
            raise RunFailed(f"step {repr(step) if step else _names(maps or ready)} failed: {told}") from error
        for record in records:
            _keep_part(run, state, record)
            _note(run, record)
        check_failures(state, {record.step: record.rows for record in run.record.steps})
        waiting = [step for step in waiting if step.name not in state.digests]


def _keep_part(run: _Run, state: RunState, record: StepRecord) -> None:
    """Write down which images a step has rows for, where not all have."""
    if record.part:
        run.folder.write_table(covered_file(record.step), pa.table({"id": state.covered[record.step]}))


def _names(steps: list[PlannedStep]) -> str:
    return " + ".join(repr(step.name) for step in steps)


def _account(run: _Run, state: RunState) -> None:
    """Give every file its status, also where the run fails, and hold the sum against the input."""
    if state.failed:
        slices = run.folder.read_slices(FILES, None, SLICE)
        run.folder.write_slices(FILES, FILES_SCHEMA, (_with_failures(rows, state.failed) for rows in slices))
    missed = [(image, step, why) for step, found in state.unanswered.items() for image, why in found.items()]
    if missed:
        names = ("id", "step", "reason")
        run.folder.write_table(UNANSWERED, pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in missed]))
    status: Counter[str] = Counter()
    for rows in run.folder.read_slices(FILES, ["status"], SLICE):
        status.update({row["values"]: row["counts"] for row in rows["status"].value_counts().to_pylist()})
    run.record.accepted = status["accepted"]
    run.record.rejected = status.total() - status["accepted"]
    run.record.images = state.images.count - len(state.failed)
    if run.record.accepted + run.record.rejected != run.record.files:
        raise RunFailed(
            f"{run.record.files} files went in, {run.record.accepted} were accepted and {run.record.rejected} rejected: "
            "this is a bug of shoal"
        )


def _count_clusters(run: _Run, state: RunState) -> None:
    name = clustering(run.record)
    if name is not None:
        clusters = state.answer(name).read(["cluster"])["cluster"]
        run.record.noise = pc.sum(pc.less(clusters, 0)).as_py() or 0
        run.record.clusters = pc.count_distinct(clusters.filter(pc.greater_equal(clusters, 0))).as_py()


def _with_failures(files: pa.Table, failed: dict[str, tuple[str, str]]) -> pa.Table:
    ids = pa.array(list(failed), pa.string())
    rows = pc.index_in(files["id"], value_set=ids)
    hit = pc.and_(pc.is_valid(rows), pc.is_valid(files["id"]))
    steps, reasons = pa.array([step for step, _ in failed.values()]), pa.array([reason for _, reason in failed.values()])
    columns = {name: files[name] for name in files.column_names}
    columns["status"] = pc.if_else(hit, "failed", files["status"])
    columns["step"] = pc.coalesce(files["step"], steps.take(rows.combine_chunks()))
    columns["reason"] = pc.coalesce(files["reason"], reasons.take(rows.combine_chunks()))
    return pa.table(columns).cast(FILES_SCHEMA)


def _note(run: _Run, record: StepRecord) -> None:
    run.record.steps.append(record)
    tell(run.host, run.store, run.record, "shoal_stage_done", record)
    _save(run)


def _save(run: _Run) -> None:
    run.folder.write_json(RECORD, run.record.model_dump(mode="json"))
