"""`shoal organize`, `undo`, `export`: what touches files of the user."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli.console import arrow, out, out_json, say
from shoal.cli.look import Json, Out, RunName

if TYPE_CHECKING:
    import pyarrow as pa

    from shoal.journal import Progress, Receipts

SHOWN = 20
GOOD = ("done", "present", "undone", "planned")


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: shoal organize out/ --to sorted/ --mode copy --dry-run")(organize)
    app.command(epilog="Example: shoal undo sorted/")(undo)
    app.command(epilog="Example: shoal export out/ --as csv --to files/")(export)


def organize(
    out_: Out,
    to: Annotated[Path, typer.Option(help="Folder to organise into; made where it is missing.")],
    run: RunName = None,
    mode: Annotated[str, typer.Option(help="copy, move or hardlink.")] = "copy",
    rule: Annotated[
        str | None, typer.Option(help="Naming rule, such as id@label@original; `shoal stages organize.folders` lists them.")
    ] = None,
    sidecars: Annotated[
        str | None, typer.Option(help="Extensions of files that go with their image, such as .txt,.json.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and touch nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Lay a run's images out in folders, one a cluster.

    Journalled: the same command goes on after a kill, and `shoal undo` takes it back.
    """
    import shoal
    from shoal import journal
    from shoal.errors import UsageError
    from shoal.host import Host
    from shoal.organizing import make_plan, organizer, remember

    if mode not in ("copy", "move", "hardlink"):
        raise UsageError(f"--mode is copy, move or hardlink, not {mode!r}")
    host = Host()
    opened = shoal.open(out_, run, host=host)
    plan = make_plan(opened, organizer(opened, host, {"rule": rule, "sidecars": sidecars}))
    if dry_run or not yes:
        _preview(journal.preview(plan, to, mode), to, mode, json=json and dry_run)  # type: ignore[arg-type]
    if dry_run:
        return
    if not yes:
        _ask(f"{mode} {plan.num_rows:,} files into {to}?")
    receipts = journal.organize(plan, to, mode, on_progress=_progress())  # type: ignore[arg-type]
    remember(opened, to.absolute(), receipts)
    _tell(receipts, to, json)
    if not json:
        out(f"next:\n  shoal undo {to}")


def undo(to: Annotated[Path, typer.Argument(help="Folder that was organised.")], json: Json = False) -> None:
    """Take the last organise back: paths, bytes and times.

    Files that changed since are left as they are, each with the reason.
    """
    from shoal import journal

    receipts = journal.undo(to, on_progress=_progress())
    if receipts is None:
        out_json([]) if json else out(f"{to}: nothing to undo")
        return
    _tell(receipts, to, json)


def export(
    out_: Out,
    to: Annotated[Path, typer.Option(help="Folder for the files; made where it is missing.")],
    as_: Annotated[str, typer.Option("--as", help="workflow, csv or parquet.")] = "csv",
    run: RunName = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    json: Json = False,
) -> None:
    """Write a run's tables as files."""
    import shoal
    from shoal.errors import UsageError
    from shoal.export import export as write

    if as_ not in ("workflow", "csv", "parquet"):
        raise UsageError(f"--as is workflow, csv or parquet, not {as_!r}")
    files = write(shoal.open(out_, run), as_, to, force=force)
    if json:
        out_json([str(file) for file in files])
        return
    for file in files:
        out(str(file))


def _preview(plan: "pa.Table", to: Path, mode: str, json: bool) -> None:
    if json:
        out_json(plan.to_pylist())
        return
    shown = plan.select([name for name in plan.column_names if name != "id"])
    arrow(f"Plan: {mode} {plan.num_rows:,} files into {to}", shown, most=SHOWN)


def _ask(question: str) -> None:
    from shoal.errors import UsageError

    if not sys.stdin.isatty():
        raise UsageError("nobody is there to ask; add --yes to go ahead, or --dry-run to only look")
    typer.confirm(question, abort=True, err=True)


def _progress() -> Any:
    """Return a callback that draws one line, where there is a terminal."""
    if not sys.stderr.isatty():
        return None

    def draw(progress: "Progress") -> None:
        left = "" if progress.eta_seconds is None else f", {progress.eta_seconds:.0f} s left"
        text = f"{progress.done:,}/{progress.total:,} files, {progress.files_per_second:,.0f}/s{left}"
        print(f"\r{text:<60}", end="\n" if progress.done == progress.total else "", file=sys.stderr, flush=True)

    return draw


def _tell(receipts: "Receipts", to: Path, json: bool) -> None:
    """Print what became of the files; exit with 1 where some could not be done."""
    import pyarrow.compute as pc

    counts = receipts.counts
    bad = {status: number for status, number in counts.items() if status not in GOOD}
    if json:
        out_json(receipts.table.to_pylist())
    else:
        words = ", ".join(f"{number:,} {status}" for status, number in counts.items())
        out(f"{to}: {words or 'no file'}; {receipts.seconds:.1f} s")
        if bad:
            import pyarrow as pa

            rows = receipts.table.filter(pc.is_in(receipts.table["status"], value_set=pa.array(list(bad))))
            arrow("Not done", rows.select(["source", "target", "status", "reason"]), most=SHOWN)
            say("the files above were left as they are; mend the reason and give the same command again")
    if bad:
        raise typer.Exit(1)
