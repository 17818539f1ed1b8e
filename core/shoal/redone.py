"""Steps done again for what people made of a run: drawings of its clusters, and the plan of an organiser."""

import os
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from shoal.contract import Context, TableStage
from shoal.decisions import Version
from shoal.kinds import Organizer, Visualizer
from shoal.pipeline.plan import INDEX
from shoal.records import StepRecord
from shoal.runner.answering import Given, TableJob
from shoal.store import TableStore

if TYPE_CHECKING:
    from shoal.catalogue import Run

DRAWN = "drawn"
"""Folder of a version's drawings."""


def plan(run: "Run", made: StepRecord) -> pa.Table | None:
    """Return what an organiser would do now with the clusters and names of a run's version; None of other steps.

    Nothing is kept: side-cars that lie beside the images may come and go.

    Args:
        run: at its version.
        made: one of its steps.
    """
    stage = _stage(run, made, Organizer.kind)
    return stage.run(_rows(run, made, stage), Context()) if stage else None


def drawing(run: "Run", version: Version, made: StepRecord) -> TableStore | None:
    """Return where a drawing of a run's version is kept, drawn now if it was not yet; None for one of no clusters.

    Args:
        run: at the version.
        version: of the run.
        made: one of its steps.
    """
    if not made.stage.startswith(f"{Visualizer.kind}.") or not {"cluster", "label"} & set(_columns(run, made).values()):
        return None
    answer = TableStore(run.folder / version.folder / DRAWN / made.step)
    stage = None if answer.done else _stage(run, made, Visualizer.kind)
    if stage:
        rows = _rows(run, made, stage)
        TableJob(stage, rows["id"].combine_chunks(), (Given(rows),), answer, False, os.cpu_count() or 1).run()
    return answer


def _stage(run: "Run", made: StepRecord, kind: str) -> TableStage | None:
    """Return the stage of a step, where it is of a kind."""
    if not made.stage.startswith(f"{kind}."):
        return None
    stage = next(step.stage for step in run.pipeline.steps if step.name == made.step)
    return stage if isinstance(stage, TableStage) else None


def _columns(run: "Run", made: StepRecord) -> dict[str, str]:
    """Return the names under which a run's `joined` gives what a step takes, as people left it, by consumed column."""
    return {column: column if step == INDEX else run.shown(step, column) for column, step in made.sources.items()}


def _rows(run: "Run", made: StepRecord, stage: TableStage) -> pa.Table:
    """Return what a step is shown: people may have named clusters that no step named, or not before this one."""
    names = _columns(run, made)
    if names.get("cluster") == "cluster" and "label" in stage.optional.names:
        names.setdefault("label", "label")
    rows = run.joined(list(names.values())).rename_columns(["id", *names])
    for name in stage.consumes.names:
        rows = rows.filter(pc.is_valid(rows[name]))
    return rows
