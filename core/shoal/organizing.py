"""Turns a run into an organiser's plan, and remembers with the run where its files went and which rescues were accepted."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shoal.catalogue import Run
from shoal.contract import Context
from shoal.decisions import Move, decide
from shoal.errors import UsageError
from shoal.host import Host
from shoal.journal import Receipts
from shoal.kinds import Organizer
from shoal.pipeline.messages import validate
from shoal.pipeline.nodes import wrap
from shoal.pipeline.overrides import value_of
from shoal.records import labelling, rescuing
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


def option(text: str) -> tuple[str, Any]:
    """Return the name and the value of `NAME=VALUE`, an option of an organiser as `--set` takes it; the value is YAML.

    Raises:
        UsageError: it is not of that form.
    """
    name, equals, value = text.partition("=")
    name = name.strip().removeprefix("organize.")
    if not (equals and name):
        raise UsageError(f"--set {text}: write OPTION=VALUE, such as yolo_images=images")
    return name, value_of(value, f"--set {text}").plain()


def without_labels(plan: pa.Table) -> pa.Table:
    """Return what an organiser of sets with side-cars missed: source, missing. No row where it looks for none."""
    if "missing" not in plan.column_names:
        return pa.table({"source": pa.array([], pa.string()), "missing": pa.array([], pa.string())})
    return plan.select(["source", "missing"]).filter(pc.is_valid(plan["missing"]))


def make_plan(run: Run, stage: Organizer, *, accept_rescues: bool = False) -> pa.Table:
    """Return the organiser's plan for a run: id, source, target, and `rescued`: whether the image is noise that goes along.

    Args:
        run: the run.
        stage: the organiser.
        accept_rescues: put noise images for which a rescue step suggests a cluster into that cluster's folder.

    Raises:
        UsageError: the run has no clusters or ended before it had, its images are not files of this machine, or rescues are
            to be accepted and no step suggests any.
    """
    made = {name for step in run.record.steps for name in step.columns}
    if "cluster" not in made and run.record.status != "done":
        raise run.ended("its clusters were made")
    if "cluster" not in made:
        raise UsageError(f"run {run.id} has no clusters to organise by; add a cluster step to its pipeline")
    accepted = suggestions(run) if accept_rescues else None
    if accept_rescues and accepted is None:
        raise UsageError(
            f"run {run.id} has no step that suggests clusters for its noise; leave --accept-rescues out, "
            "or add a rescue step to its pipeline"
        )
    rows = run.joined([name for name in ("paths", "cluster", "label") if name in made or name == "paths"])
    rows = rows.filter(pc.is_valid(rows["cluster"]))
    remote = [path for paths in rows["paths"].slice(0, 1).to_pylist() for path in paths if "://" in path]
    if remote:
        raise UsageError(f"{remote[0]} is not on a local disk; organise works on files of this machine")
    if accepted is None:
        plan = stage.run(rows, Context())
        return plan.append_column("rescued", pa.array([False] * plan.num_rows))
    plan = stage.run(_rescued(run, rows, accepted), Context())
    return plan.append_column("rescued", pc.is_in(plan["id"], value_set=accepted["id"].combine_chunks()))


def suggestions(run: Run) -> pa.Table | None:
    """Return the noise images for which the run suggests a cluster: id, cluster, label. None: it has no rescue step.

    A label is null where the run does not name its clusters.
    """
    step = rescuing(run.record)
    if step is None:
        return None
    table = run.table(step)
    clusters = run.joined(["cluster"])
    noise = clusters["id"].filter(pc.less(clusters["cluster"], 0)).combine_chunks()
    table = table.filter(pc.and_(pc.is_valid(table["suggested"]), pc.is_in(table["id"], value_set=noise)))
    return pa.table({"id": table["id"], "cluster": table["suggested"], "label": _labels(run, table["suggested"])})


def _labels(run: Run, clusters: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the label of each cluster; null where it has none."""
    step = labelling(run.record)
    if step is None:
        return pa.nulls(len(clusters), pa.string())
    table = run.table(step)
    return table["label"].take(pc.index_in(clusters, value_set=table["cluster"].combine_chunks()))


def _rescued(run: Run, rows: pa.Table, accepted: pa.Table) -> pa.Table:
    """Return the rows with the suggested cluster and its label for the images that are accepted."""
    places = pc.index_in(rows["id"], value_set=accepted["id"].combine_chunks())
    clusters = pc.coalesce(accepted["cluster"].take(places), rows["cluster"])
    changed = rows.set_column(rows.column_names.index("cluster"), "cluster", clusters)
    if "label" not in rows.column_names:
        return changed
    return changed.set_column(rows.column_names.index("label"), "label", _labels(run, clusters))


def check_target(run: Run, root: Path) -> None:
    """Refuse to organise into the run's own store, which people remove when they are done with it.

    Raises:
        UsageError: the root lies in the store.
    """
    store = run.store.root.local
    if store is not None and root.resolve().is_relative_to(store.resolve()):
        raise UsageError(f"{root} lies in shoal's own folder {store}, which holds runs; name a folder outside of it")


def remember(run: Run, root: Path, receipts: Receipts, plan: pa.Table) -> None:
    """Write down with the run that its files were organised under a root, for `shoal export` and the tracking plugins.

    Args:
        run: the run.
        root: folder that the files went to.
        receipts: what became of each.
        plan: what `make_plan` gave; its rescues count as confirmed from now on.
    """
    _confirm(run, plan)
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
    log += [terminal(f"missing: {row['source']} has no {row['missing']}") for row in without_labels(plan).to_pylist()]
    run.folder.write("organization_log.txt", ("\n".join(log) + "\n").encode())


def _confirm(run: Run, plan: pa.Table) -> None:
    """Remember the rescues that a plan put into their clusters as decided."""
    ids = pc.unique(plan["id"].filter(plan["rescued"]))
    found = suggestions(run) if len(ids) else None
    if found is None:
        return
    images = run.images
    chosen = found.filter(pc.is_in(found["id"], value_set=ids))
    paths = images["path"].take(pc.index_in(chosen["id"], value_set=images["id"].combine_chunks())).to_pylist()
    by = "suggestion accepted with `shoal organize --accept-rescues`"
    moves = [
        Move(id=row["id"], path=path, before=-1, after=row["cluster"], label=row["label"] or "", by=by)
        for row, path in zip(chosen.to_pylist(), paths, strict=True)
    ]
    decide(run.folder, moves)
