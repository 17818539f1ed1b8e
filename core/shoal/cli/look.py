"""`shoal report`, `runs`, `show`, `rejected`: looking at what there is."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from shoal.cli.console import nearby, out, out_json, quoted, say
from shoal.cli.tables import Look, arrow, table

if TYPE_CHECKING:
    from shoal.catalogue import Run
    from shoal.records import RunRecord

Out = Annotated[str, typer.Argument(metavar="OUT", help="Folder or URI given to `shoal run --out`.")]
RunName = Annotated[
    str | None, typer.Option("--run", help="Run, or the beginning of its name; default: the last that ended well.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

STEPS = Look(
    numbers=("seconds", "rows", "computed", "cached", "failed", "per second"),
    spare=("rows", "per second", "stage", "backend"),
)
CLUSTERS = Look(numbers=("cluster", "size"), sentences=("reason",), spare=("first_label",))
RUNS = Look(
    numbers=("images", "clusters", "noise", "rejected", "seconds"),
    spare=("source", "seconds", "rejected", "noise", "pipeline"),
    paths=("source",),
)
QUALITY = Look(numbers=("value",), spare=("threshold",))
UNANSWERED = "unanswered"
"""Status of an image of the result that a step had no answer for."""
REJECTED = Look(paths=("path",), sentences=("reason",), spare=("status", "step"))


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: shoal report out/ --open")(report)
    app.command(epilog="Example: shoal runs out/")(runs)
    app.command(epilog="Example: shoal show out/ --run 20261121")(show)
    app.command(epilog="Example: shoal rejected out/ --json")(rejected)


def report(
    out_: Out,
    run: RunName = None,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    json: Json = False,
) -> None:
    """Write a run's report again and print where it is."""
    from pathlib import Path

    import shoal
    from shoal.errors import UsageError
    from shoal.reporting import write_report

    opened = shoal.open(out_, run)
    place = write_report(opened)
    remote = opened.folder.local is None
    if open_ and remote:
        raise UsageError(f"the report is written, but a browser can't open {place}; copy it to this machine")
    if open_:
        typer.launch(Path(place).as_uri())
    out_json({"report": place}) if json else out(place if remote else nearby(Path(place), out_))


def runs(out_: Out, json: Json = False) -> None:
    """List the runs, oldest first."""
    from shoal.catalogue import reason
    from shoal.catalogue import runs as records
    from shoal.store import Store

    found = records(Store.open(out_))
    if json:
        out_json([record.model_dump(mode="json") for record in found])
        return
    columns = ("id", "pipeline", "status", "images", "clusters", "noise", "rejected", "seconds", "source")
    table("Runs", columns, [[getattr(record, column) for column in columns] for record in found], RUNS)
    for record in found[-1:]:
        if record.status == "failed":
            say(f"the last run failed: {reason(record)}")


def show(out_: Out, run: RunName = None, json: Json = False) -> None:
    """Show a run: its steps and its clusters."""
    import shoal
    from shoal.catalogue import reason
    from shoal.reporting import clusters_table

    opened = shoal.open(out_, run)
    if json:
        version = opened.version.model_dump(mode="json") if opened.version else None
        clusters = clusters_table(opened).to_pylist()
        out_json({"record": opened.record.model_dump(mode="json"), "version": version, "clusters": clusters})
        return
    record = opened.record
    out(f"RUN {record.id} ({record.status}): {record.pipeline} over {record.source}")
    tell_version(opened)
    out()
    steps(opened)
    table_ = clusters_table(opened)
    if table_.num_rows:
        arrow("Clusters", table_, CLUSTERS)
    quality(record)
    if record.error:
        say(f"the run failed: {reason(record)}")


def tell_version(run: "Run", print_: Callable[[str], None] = out) -> None:
    """Say which version of a run is meant, where it was reviewed."""
    from shoal.reviewing.history import title

    if run.version is not None:
        print_(title(run.version))


def steps(run: "Run") -> None:
    """Print a row a step; a number that says nothing (no failure, no rate) stays blank."""
    from shoal.reporting import steps_table

    names = ("step", "stage", "backend", "seconds", "rows", "computed", "cached", "failed", "rate")
    rows = [
        [row[name] or (0 if name in ("computed", "cached") else None) for name in names]
        for row in steps_table(run).to_pylist()
    ]
    if rows:
        table("Steps", [*names[:-1], "per second"], rows, STEPS)
    for step in run.record.steps:
        if step.faults:
            times = ", ".join(f"{kind}: {number}" for kind, number in sorted(step.faults.items()))
            out(f"{step.step}: {step.retried} pieces of work were done again ({times})")


def quality(record: "RunRecord") -> None:
    """Print what each evaluator found: figures, thresholds, and the verdict with its reason."""
    from shoal.reporting import judgements

    for found in judgements(record):
        said = f": {found.verdict}" if found.verdict else ""
        rows = [[figure.name, figure.value, figure.threshold] for figure in found.figures]
        table(f"Quality by {found.step}{said}", ("figure", "value", "threshold"), rows, QUALITY)
        if found.reason:
            out(found.reason)


def rejected(out_: Out, run: RunName = None, json: Json = False) -> None:
    """List rejected files and missing answers, and why.

    With --json one list: `status` is `filtered` or `failed` for files that are not in the result, and `unanswered` for
    images of the result that lack what a step makes, such as a caption.
    """
    import shoal

    opened = shoal.open(out_, run)
    files, missed = opened.rejected, opened.unanswered
    if json:
        out_json([*files.to_pylist(), *({**row, "status": UNANSWERED} for row in missed.to_pylist())])
        return
    if files.num_rows:
        arrow(f"{files.num_rows:,} of {opened.record.files:,} files rejected", files, REJECTED)
    else:
        out(f"none of the {opened.record.files:,} files was rejected; {quoted('shoal', 'show', out_)} shows the result")
    if missed.num_rows:
        lone = missed.num_rows == 1
        told = "answer missing, its image is" if lone else "answers missing, their images are"
        arrow(f"{missed.num_rows:,} {told} in the result", missed, REJECTED)
