"""Gathers what a run's report shows and has it written."""

import shlex
from typing import Any

import pyarrow as pa

from shoal.catalogue import Run
from shoal.kinds import Evaluator, Visualizer
from shoal.records import RunRecord, StepRecord, clustering, labelling, rescuing
from shoal.report import Figure, Fragment, Judgement, Report, write
from shoal.reviewing.carry import candidate
from shoal.reviewing.history import history, title
from shoal.sources import is_local


def write_report(run: Run) -> str:
    """Write `report.html` of a run into its folder and return the path or URI.

    Raises:
        StoreError: the store can't be written.
    """
    with run.folder.filled() as folder:
        page = write(folder, gather(run))
    return run.folder.place(page.name)


def gather(run: Run) -> Report:
    """Return what the report of a run shows."""
    record, shown = run.record, clusters_table(run)
    clusters, noise = counts(run, shown)
    summary = [
        ("images", f"{record.images:,}"), ("clusters", f"{clusters:,}"), ("noise", f"{noise:,}"),
        ("rejected files", f"{record.rejected:,}"), ("seconds", f"{record.seconds:.1f}"),
    ]  # fmt: skip
    return Report(
        title=f"{record.pipeline}: {record.images:,} images in {clusters:,} clusters",
        run_id=record.id,
        created=record.started,
        summary=summary,
        steps=steps_table(run),
        clusters=shown,
        rejected=run.rejected,
        fragments=_fragments(run),
        next_commands=next_commands(run),
        judgements=judgements(record),
        reviewed=title(run.version) if run.version is not None else "",
        history=history(run) if run.versions else None,
    )


def counts(run: Run, clusters: pa.Table) -> tuple[int, int]:
    """Return the numbers of clusters and of noise images: those of the record, or of the version where it was reviewed."""
    if run.version is None:
        return run.record.clusters, run.record.noise
    noise = [row["size"] for row in clusters.to_pylist() if row["cluster"] < 0]
    return clusters.num_rows - len(noise), sum(noise)


def judgements(record: RunRecord) -> list[Judgement]:
    """Return what the evaluators of a run noted, in the order of the steps."""
    return [_judgement(step) for step in record.steps if step.stage.startswith(f"{Evaluator.kind}.")]


def _judgement(step: StepRecord) -> Judgement:
    thresholds = _mapping(step.notes.get("thresholds"))
    figures = [_figure(name, value, _mapping(thresholds.get(name))) for name, value in step.metrics.items()]
    return Judgement(step.step, str(step.notes.get("verdict", "")), str(step.notes.get("reason", "")), figures)


def _mapping(value: Any) -> dict[str, Any]:
    """Return a note as a mapping: a plugin may have noted anything."""
    return value if isinstance(value, dict) else {}


def _figure(name: str, value: float, threshold: dict[str, Any]) -> Figure:
    bounds = {key: float(bound) for key, bound in threshold.items() if isinstance(bound, int | float)}
    words = [f"{word} {bounds[key]:g}" for key, word in (("at_least", "at least"), ("at_most", "at most")) if key in bounds]
    holds = bounds.get("at_least", value) <= value <= bounds.get("at_most", value)
    shown = f"{value:,.0f}" if value == int(value) and not bounds else f"{value:,.3f}"
    return Figure(name, shown, " and ".join(words), holds)


def steps_table(run: Run) -> pa.Table:
    """Return a row a step: step, stage, backend, seconds, rows, computed, cached, failed, rate."""
    names = ("step", "stage", "backend", "seconds", "rows", "computed", "cached", "failed", "rate")
    return pa.Table.from_pylist([{name: getattr(step, name) for name in names} for step in run.record.steps])


CLUSTERS = pa.schema(
    [
        ("cluster", pa.int32()),
        ("label", pa.string()),
        ("first_label", pa.string()),
        ("size", pa.int64()),
        ("reason", pa.string()),
    ]
)


def clusters_table(run: Run) -> pa.Table:
    """Return a row a cluster, largest first and noise last: cluster, label, first_label, size, reason.

    Where the run was reviewed, these are the clusters of its version. `first_label` is the label that was changed to tell
    clusters apart; empty where none was. A run that ended before its clusters has no row; one that ended before their names
    has numbers for names.
    """
    name, labelled = clustering(run.record), labelling(run.record)
    if name is None or not run.done(name):
        return CLUSTERS.empty_table()
    sizes = run.current(name).group_by("cluster").aggregate([("id", "count")])
    table = run.version_table("label") if run.version is not None else run.table(labelled) if labelled else None
    labels = {row["cluster"]: row for row in table.to_pylist()} if table is not None else {}
    rows = [_cluster_row(row["cluster"], row["id_count"], labels.get(row["cluster"], {})) for row in sizes.to_pylist()]
    rows.sort(key=lambda row: (row["cluster"] < 0, -row["size"], row["cluster"]))
    return pa.Table.from_pylist(rows, schema=CLUSTERS)


def _cluster_row(cluster: int, size: int, named: dict[str, Any]) -> dict[str, Any]:
    label = named.get("label") or ("noise" if cluster < 0 else f"cluster_{cluster:02d}")
    first = named.get("first_label") or ""
    return {
        "cluster": cluster,
        "label": label,
        "first_label": first if first != label else "",
        "size": size,
        "reason": named.get("reason") or "",
    }


def next_commands(run: Run, out: str | None = None) -> list[str]:
    """Return what a user is likely to want next.

    Args:
        run: that ended well.
        out: the store as the user spelled it; None takes its full path.
    """
    where = shlex.quote(out or run.store.root.uri)
    commands = [f"shoal show {where}"]
    earlier = candidate(run) if run.version is None else None
    if earlier is not None:
        commands.append(f"shoal review carry {where} --from {earlier.id}")
    if run.record.rejected:
        commands.append(f"shoal rejected {where}")
    if clustering(run.record) is not None and is_local(run.record.source):  # objects are not moved
        accept = " --accept-rescues" if counts(run, clusters_table(run))[1] and rescuing(run.record) is not None else ""
        commands.append(f"shoal organize {where} --to sorted/{accept} --dry-run")
    return [*commands, f"shoal export {where} --as csv --to files/"]


def _fragments(run: Run) -> list[Fragment]:
    found = []
    for step in run.record.steps:
        if not step.stage.startswith(f"{Visualizer.kind}."):
            continue
        table, files = run.fragments(step.step)
        row = table.to_pylist()[0]
        found.append(Fragment(step.step, row["title"], row["html"], row["style"], row["script"], files))
    return found
