"""`shoal report`, `runs`, `show`, `rejected`: looking at what there is."""

from typing import Annotated

import typer

from shoal.cli.console import arrow, out, out_json, table

Out = Annotated[str, typer.Argument(help="Folder or URI given to `shoal run --out`.")]
RunName = Annotated[
    str | None, typer.Option("--run", help="Run, or the beginning of its name; default: the last that ended well.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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
    import shoal
    from shoal.reporting import write_report

    path = write_report(shoal.open(out_, run))
    if open_:
        typer.launch(path.as_uri())
    out_json({"report": str(path)}) if json else out(str(path))


def runs(out_: Out, json: Json = False) -> None:
    """List the runs, oldest first."""
    from shoal.catalogue import runs as records
    from shoal.store import Store

    found = records(Store.open(out_))
    if json:
        out_json([record.model_dump(mode="json") for record in found])
        return
    numbers = ("images", "clusters", "noise", "rejected", "seconds")
    columns = ("id", "pipeline", "status", *numbers, "source")
    table("Runs", columns, [[getattr(record, column) for column in columns] for record in found], numbers)


def show(out_: Out, run: RunName = None, json: Json = False) -> None:
    """Show a run: its steps and its clusters."""
    import shoal
    from shoal.reporting import clusters_table, steps_table

    opened = shoal.open(out_, run)
    if json:
        out_json({"record": opened.record.model_dump(mode="json"), "clusters": clusters_table(opened).to_pylist()})
        return
    record = opened.record
    out(f"RUN {record.id} ({record.status}): {record.pipeline} over {record.source}")
    arrow("Steps", steps_table(opened), numbers=("seconds", "rows", "computed", "cached", "failed", "rate"))
    arrow("Clusters", clusters_table(opened), numbers=("cluster", "size"))


def rejected(out_: Out, run: RunName = None, json: Json = False) -> None:
    """List the files that are not in the result, each with the step and the reason."""
    import shoal

    opened = shoal.open(out_, run)
    if json:
        out_json(opened.rejected.to_pylist())
        return
    arrow(f"{opened.record.rejected:,} of {opened.record.files:,} files rejected", opened.rejected)
