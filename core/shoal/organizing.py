"""Turns a run into an organiser's plan, and remembers where its files went and which rescues were accepted."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shoal.catalogue import Run
from shoal.contract import Context
from shoal.decisions import Decisions, Surface, now
from shoal.decisions.older import accepted, commands
from shoal.errors import UsageError
from shoal.host import Host
from shoal.journal import Receipts
from shoal.kinds import Organizer
from shoal.pipeline.messages import validate
from shoal.pipeline.nodes import wrap
from shoal.pipeline.overrides import value_of
from shoal.records import labelling, rescuing
from shoal.reviewing import Made, make_version, user
from shoal.reviewing.history import title
from shoal.text import terminal

DEFAULT = "organize.folders"
WHERE = "organized.json"
ACCEPTED = "suggestion accepted with `shoal organize --accept-rescues`"


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

    Clusters and labels are those of the run's version, where it was reviewed.

    Args:
        run: the run.
        stage: the organiser.
        accept_rescues: put noise images for which a rescue step suggests a cluster into that cluster's folder.

    Raises:
        UsageError: the run has no clusters or ended before it had, its images are not files of this machine, or rescues are
            to be accepted and no step suggests any.
        StoreError: rescues are to be accepted and there is no place to remember that.
    """
    made = {name for step in run.record.steps for name in step.columns}
    if "cluster" not in made and run.record.status != "done":
        raise run.ended("its clusters were made")
    if "cluster" not in made:
        raise UsageError(f"run {run.id} has no clusters to organise by; add a cluster step to its pipeline")
    taken = suggestions(run) if accept_rescues else None
    if accept_rescues:
        Decisions.of(run.store)
    if accept_rescues and taken is None:
        raise UsageError(
            f"run {run.id} has no step that suggests clusters for its noise; leave --accept-rescues out, "
            "or add a rescue step to its pipeline"
        )
    shown = ("paths", "cluster", *(("label",) if "label" in made or run.version is not None else ()))
    rows = run.joined(shown)
    rows = rows.filter(pc.is_valid(rows["cluster"]))
    remote = [path for paths in rows["paths"].slice(0, 1).to_pylist() for path in paths if "://" in path]
    if remote:
        raise UsageError(f"{remote[0]} is not on a local disk; organise works on files of this machine")
    if taken is None:
        plan = stage.run(rows, Context())
        return plan.append_column("rescued", pa.array([False] * plan.num_rows))
    plan = stage.run(_rescued(run, rows, taken), Context())
    return plan.append_column("rescued", pc.is_in(plan["id"], value_set=taken["id"].combine_chunks()))


def suggestions(run: Run) -> pa.Table | None:
    """Return the noise images for which the run suggests a cluster: id, cluster, label. None: it has no rescue step.

    A label is null where the run does not name its clusters. Suggestions that somebody rejected are left out, and those of
    clusters that a review did away with.
    """
    if rescuing(run.record) is None:
        return None
    rows = run.joined(["cluster", "suggested"])
    waiting = pc.and_(pc.less(rows["cluster"], 0), pc.is_valid(rows["suggested"]))
    if run.version is not None:
        reviewed = run.version_table("cluster")
        said = reviewed.filter(pc.is_in(reviewed["decided"], value_set=pa.array(["reject", "noise"])))["id"]
        waiting = pc.and_not(waiting, pc.is_in(rows["id"], value_set=said.combine_chunks()))
    rows = rows.filter(waiting)
    return pa.table({"id": rows["id"], "cluster": rows["suggested"], "label": _labels(run, rows["suggested"])})


def _labels(run: Run, clusters: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the label of each cluster; null where it has none."""
    step = labelling(run.record)
    if step is None and run.version is None:
        return pa.nulls(len(clusters), pa.string())
    table = run.version_table("label") if run.version is not None else run.table(step or "")
    return table["label"].take(pc.index_in(clusters, value_set=table["cluster"].combine_chunks()))


def _rescued(run: Run, rows: pa.Table, taken: pa.Table) -> pa.Table:
    """Return the rows with the suggested cluster and its label for the images that are accepted."""
    places = pc.index_in(rows["id"], value_set=taken["id"].combine_chunks())
    clusters = pc.coalesce(taken["cluster"].take(places), rows["cluster"])
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


def remember(run: Run, root: Path, receipts: Receipts, plan: pa.Table) -> Made | None:
    """Write down with the run that its files were organised under a root, for `shoal export` and the tracking plugins.

    Args:
        run: the run.
        root: folder that the files went to.
        receipts: what became of each.
        plan: what `make_plan` gave; its rescues count as confirmed from now on.

    Returns:
        what came of the rescues; None where the plan has none.
    """
    made = _confirm(run, plan)
    known = run.folder.read_json(WHERE) if run.folder.exists(WHERE) else []
    entry = {
        "root": str(root), "mode": receipts.mode, "operation": receipts.operation, "counts": receipts.counts,
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "version": run.version.number if run.version else 0,
    }  # fmt: skip
    run.folder.write_json(WHERE, [*known, entry])
    log = [terminal(f"{entry['at']} {receipts.mode} into {root}: {title(run.version)}")]
    for row in receipts.table.to_pylist():
        reason = f" ({row['reason']})" if row["reason"] else ""
        log.append(terminal(f"{row['status']}: {row['source']} -> {row['target']}{reason}"))
    log += [terminal(f"missing: {row['source']} has no {row['missing']}") for row in without_labels(plan).to_pylist()]
    run.folder.write("organization_log.txt", ("\n".join(log) + "\n").encode())
    return made


def _confirm(run: Run, plan: pa.Table) -> Made | None:
    """Remember the rescues that a plan put into their clusters as answers, and make a version of the run with them."""
    ids = pc.unique(plan["id"].filter(plan["rescued"]))
    found = suggestions(run) if len(ids) else None
    if found is None:
        return None
    chosen = found.filter(pc.is_in(found["id"], value_set=ids))
    decisions, at, who = Decisions.of(run.store), now(), user()
    decisions.add_surface(Surface(key=commands(run.id), run=run.id, kind="command"))
    decisions.record(accepted(run.id, row["id"], row["cluster"], at, who, ACCEPTED, run.base) for row in chosen.to_pylist())
    return make_version(run, run.version.policy if run.version else "latest", who)
