"""Turns a run into an organiser's plan, and remembers with the run where its files went."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shoal.catalogue import Run
from shoal.contract import Context
from shoal.errors import UsageError
from shoal.host import Host
from shoal.journal import Receipts
from shoal.kinds import Organizer
from shoal.pipeline.messages import validate
from shoal.pipeline.nodes import wrap
from shoal.text import terminal

DEFAULT = "organize.folders"
WHERE = "organized.json"


def organizer(run: Run, host: Host, options: dict[str, Any]) -> Organizer:
    """Return the run's organiser, from its pipeline's organise step or the default, with options laid over it.

    Raises:
        UsageError: an option is wrong.
    """
    said = [step.stage for step in run.pipeline.steps if isinstance(step.stage, Organizer)]
    cls = type(said[-1]) if said else host.stage(DEFAULT)
    values = {
        **(said[-1].model_dump(mode="json") if said else {}),
        **{name: value for name, value in options.items() if value is not None},
    }
    made, problems = validate(cls, wrap(values, cls.title()), lambda name: f"option `{name}`")
    if made is None:
        raise UsageError("\n".join(problems))
    if not isinstance(made, Organizer):
        raise UsageError(f"{cls.title()} is no organiser")
    return made


def make_plan(run: Run, stage: Organizer) -> pa.Table:
    """Return the organiser's plan for a run: id, source, target.

    Raises:
        UsageError: the run has no clusters or ended before it had, or its images are not files of this machine.
    """
    made = {name for step in run.record.steps for name in step.columns}
    if "cluster" not in made and run.record.status != "done":
        raise run.ended("its clusters were made")
    if "cluster" not in made:
        raise UsageError(f"run {run.id} has no clusters to organise by; add a cluster step to its pipeline")
    rows = run.joined([name for name in ("paths", "cluster", "label") if name in made or name == "paths"])
    rows = rows.filter(pc.is_valid(rows["cluster"]))
    remote = [path for paths in rows["paths"].slice(0, 1).to_pylist() for path in paths if "://" in path]
    if remote:
        raise UsageError(f"{remote[0]} is not on a local disk; organise works on files of this machine")
    return stage.run(rows, Context())


def check_target(run: Run, root: Path) -> None:
    """Refuse to organise into the run's own store, which people remove when they are done with it.

    Raises:
        UsageError: the root lies in the store.
    """
    store = run.store.root.local
    if store is not None and root.resolve().is_relative_to(store.resolve()):
        raise UsageError(f"{root} lies in shoal's own folder {store}, which holds runs; name a folder outside of it")


def remember(run: Run, root: Path, receipts: Receipts) -> None:
    """Write down with the run that its files were organised under a root, for `shoal export` and the tracking plugins."""
    known = run.folder.read_json(WHERE) if run.folder.exists(WHERE) else []
    entry = {
        "root": str(root), "mode": receipts.mode, "operation": receipts.operation, "counts": receipts.counts,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    run.folder.write_json(WHERE, [*known, entry])
    log = [f"{entry['at']} {receipts.mode} into {root}"]
    for row in receipts.table.to_pylist():
        reason = f" ({row['reason']})" if row["reason"] else ""
        log.append(terminal(f"{row['status']}: {row['source']} -> {row['target']}{reason}"))
    run.folder.write("organization_log.txt", ("\n".join(log) + "\n").encode())
