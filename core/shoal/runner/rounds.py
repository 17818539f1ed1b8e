"""One round of the table steps that are ready."""

import os
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa

from shoal.contract import TableStage
from shoal.pipeline.plan import PlannedStep
from shoal.records import StepRecord
from shoal.runner.answering import TableJob
from shoal.runner.executors import Executor
from shoal.runner.options import RunOptions
from shoal.runner.passes import placement, record_of
from shoal.runner.progress import Progress
from shoal.runner.state import RunState


def table_round(
    state: RunState, steps: Sequence[PlannedStep], executor: Executor, options: RunOptions, progress: Progress
) -> list[StepRecord]:
    """Answer table steps that are ready; those that Ray runs go side by side. Returns a record a step, in order."""
    jobs: list[tuple[PlannedStep, TableJob]] = []
    records: dict[str, StepRecord] = {}
    twins: dict[str, str] = {}  # the same stage over the same rows: answered once
    for step in steps:
        ids = state.shown(step)
        state.digests[step.name] = state.digest(step, ids, step.name in options.force)
        answer = state.answer(step.name)
        twin = next((other.name for other, job in jobs if job.answer == answer), None)
        if answer.done:
            records[step.name] = _table_record(step, state, answer.facts(), "cached")
        elif twin is not None:
            twins[step.name] = twin
        else:
            jobs.append((step, table_job(state, step, ids, executor)))
            progress.start(step.name, len(ids))
    with closing(executor.answer([(job, placement(step)) for step, job in jobs])) as answers:
        for number, facts in answers:
            step = jobs[number][0]
            records[step.name] = _table_record(step, state, facts, "ray" if executor.on_ray else "in process")
            progress.finish(step.name, f"{facts['seconds']:.1f} s")
    for name, twin in twins.items():
        step = state.plan.step(name)
        records[name] = _table_record(step, state, state.answer(twin).facts(), "cached")
    return [records[step.name] for step in steps]


def table_job(state: RunState, step: PlannedStep, ids: pa.Array, executor: Executor) -> TableJob:
    """Return the job that answers a table step for some images; the step's digest must be in `state`."""
    stage = step.stage
    if not isinstance(stage, TableStage):
        raise TypeError(f"{stage.title()} is no table stage")
    gpu = executor.has_gpu(placement(step))
    return TableJob(stage, ids, state.gathers(step), state.answer(step.name), gpu, os.cpu_count() or 1)


def _table_record(step: PlannedStep, state: RunState, facts: dict[str, Any], where: str) -> StepRecord:
    fresh = where != "cached"
    return record_of(step).model_copy(
        update={
            "digest": state.digests[step.name],
            "where": where,
            "backend": str(facts["notes"].get("backend", "")),
            "notes": facts["notes"],
            "faults": facts.get("faults", {}),
            "retried": facts.get("retried", 0),
            "seconds": facts["seconds"] if fresh else 0.0,
            "rows": facts["rows"],
            "computed": facts["rows"] if fresh else 0,
            "cached": 0 if fresh else facts["rows"],
        }
    )
