"""`shoal organize`, `undo`, `export`: what touches files of the user."""

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoal.cli.console import out, out_json, out_next, quoted, say
from shoal.cli.look import Json, Out, RunName, tell_version
from shoal.cli.progress import clock
from shoal.cli.tables import Look, arrow, table

if TYPE_CHECKING:
    import pyarrow as pa

    from shoal.journal import Progress, Receipts

SHOWN = 20
MISSING = 5
DONE = {"copy": "copied", "move": "moved", "hardlink": "linked"}
GOOD = ("done", "present", "undone", "planned")
PLAN = Look(paths=("source", "target"), sentences=("reason",))


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
    yolo: Annotated[
        bool, typer.Option("--yolo", help="The images are a YOLO set: the label lab/a.txt goes with img/a.jpg.")
    ] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="OPTION=VALUE of the organiser, such as yolo_images=images; may be repeated."),
    ] = None,
    accept_rescues: Annotated[
        bool,
        typer.Option("--accept-rescues", help="Put noise images into the cluster that the run's rescue step suggests."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and touch nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Lay a run's images out in folders, one a cluster.

    Journalled: the same command goes on after a kill, and `shoal undo` takes it back.
    """
    import shoal
    from shoal import journal
    from shoal.cli.review import tell_unapplied
    from shoal.errors import UsageError
    from shoal.host import Host
    from shoal.organizing import check_target, make_plan, option, organizer, remember, suggestions

    if mode not in DONE:
        raise UsageError(f"--mode is copy, move or hardlink, not {mode!r}")
    if not (dry_run or yes or sys.stdin.isatty()):
        raise UsageError("nobody is there to ask; add --yes to go ahead, or --dry-run to only look")
    host = Host()
    opened = shoal.open(out_, run, host=host)
    check_target(opened, to)
    tell_version(opened, say)
    options = {"rule": rule, "sidecars": sidecars, "yolo": yolo or None} | dict(option(text) for text in set_ or ())
    plan = make_plan(opened, organizer(opened, host, options), accept_rescues=accept_rescues)
    waiting = None if accept_rescues else suggestions(opened)
    if waiting is not None and waiting.num_rows:
        say(f"{_images(waiting.num_rows)} of the noise have a suggested cluster; --accept-rescues puts them there")
    _tell_missing(plan)
    if dry_run or not yes:
        shown = journal.preview(plan, to, mode)  # type: ignore[arg-type]
        shown = _with_facts(shown, plan)
        out_json(shown.to_pylist()) if json and dry_run else _preview(shown, opened.record.source, to, mode)
    if dry_run:
        return
    if not yes and not typer.confirm(f"{mode} {plan.num_rows:,} files into {to}?", err=True):
        say("nothing was touched")
        return
    with closing(_Line()) as line:
        receipts = journal.organize(plan, to, mode, on_progress=line)  # type: ignore[arg-type]
    made = remember(opened, to.absolute(), receipts, plan)
    if made is not None and not json:
        tell_unapplied(opened.look(), made.conflicts, made.unsettled)
    _tell(receipts, _with_facts(receipts.table, plan), to, json)
    if not json:
        out_next([quoted("shoal", "undo", to)])


def undo(
    to: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder that was organised.")], json: Json = False
) -> None:
    """Take the last organise back: paths, bytes and times.

    Files that changed since are left as they are, each with the reason.
    """
    from shoal import journal
    from shoal.errors import UsageError

    if not to.is_dir():
        raise UsageError(f"{to} is no folder; name the folder given to `shoal organize --to`")
    with closing(_Line()) as line:
        receipts = journal.undo(to, on_progress=line)
    if receipts is None:
        out_json([]) if json else out(f"{to}: nothing to undo")
        return
    _tell(receipts, receipts.table, to, json)


def export(
    out_: Out,
    to: Annotated[Path, typer.Option(help="Folder for the files; made where it is missing.")],
    as_: Annotated[str, typer.Option("--as", help="workflow, structural, csv or parquet.")] = "csv",
    run: RunName = None,
    caption_files: Annotated[
        bool, typer.Option("--caption-files/--no-caption-files", help="With workflow: also a text file a caption.")
    ] = True,
    keyword_files: Annotated[
        bool, typer.Option("--keyword-files/--no-keyword-files", help="With workflow: also a file of keywords a cluster.")
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    json: Json = False,
) -> None:
    """Write a run's tables as files."""
    import shoal
    from shoal.export import export as write

    opened = shoal.open(out_, run)
    tell_version(opened, say)
    files = write(opened, as_, to, force=force, caption_files=caption_files, keyword_files=keyword_files)
    if json:
        out_json([str(file) for file in files])
        return
    for file in files:
        out(str(file))


def _preview(plan: "pa.Table", source: str, to: Path, mode: str) -> None:
    """Print the plan, rescued files first, paths of files below the source without it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rescued = plan.filter(plan["rescued"])
    names = ["source", "target", "reason", "rescued"]
    rows = pa.concat_tables([rescued, plan.filter(pc.invert(plan["rescued"]))]).slice(0, SHOWN).select(names).to_pylist()
    cells = [
        [
            row["source"].removeprefix(f"{source.rstrip('/')}/"),
            row["target"],
            "from noise" if row["rescued"] else "",
            row["reason"],
        ]
        for row in rows
    ]
    title = f"Plan: {mode} {plan.num_rows:,} files of {source} into {to}"
    if rescued.num_rows:
        title += f", {rescued.num_rows:,} of them rescued from the noise"
    table(title, ("source", "target", "rescued", "reason"), cells, PLAN)
    if plan.num_rows > SHOWN:
        say(f"... and {plan.num_rows - SHOWN:,} more; --dry-run --json prints all")


def _with_facts(table: "pa.Table", plan: "pa.Table") -> "pa.Table":
    """Return receipts, a row a row of the plan and in its order, with what only the plan knows."""
    for name in ("rescued", "missing"):
        if name in plan.column_names:
            table = table.append_column(name, plan[name])
    return table


def _tell_missing(plan: "pa.Table") -> None:
    """Say which images have no label file, where the organiser looks for them."""
    from shoal.organizing import without_labels

    found = without_labels(plan)
    if found.num_rows:
        say(f"{_images(found.num_rows)} without a label file, which --json lists all; the first:")
        for row in found.slice(0, MISSING).to_pylist():
            say(f"  {row['source']}: {row['missing']}")


def _images(number: int) -> str:
    return f"{number:,} image" if number == 1 else f"{number:,} images"


class _Line:
    """Draws one line of progress, where there is a terminal."""

    def __init__(self) -> None:
        self.begun = False

    def __call__(self, progress: "Progress") -> None:
        """Draw it anew."""
        if not sys.stderr.isatty():
            return
        left = "" if progress.eta_seconds is None else f", {clock(progress.eta_seconds)} left"
        text = f"{progress.done:,}/{progress.total:,} files, {progress.files_per_second:,.0f}/s{left}"
        print(f"\r{text:<60}", end="", file=sys.stderr, flush=True)
        self.begun = True

    def close(self) -> None:
        """Leave the line, also where something went wrong."""
        if self.begun:
            say()


def _tell(receipts: "Receipts", rows: "pa.Table", to: Path, json: bool) -> None:
    """Print what became of the files; exit with 1 where some could not be done."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bad = [status for status in receipts.counts if status not in GOOD]
    if json:
        out_json(rows.to_pylist())
    else:
        out(f"{to}: {_counts(receipts)} in {clock(receipts.seconds)}")
        if bad:
            rows = receipts.table.filter(pc.is_in(receipts.table["status"], value_set=pa.array(bad)))
            arrow("Not done", rows.select(["source", "target", "status", "reason"]), PLAN, most=SHOWN)
            say("the files above were left as they are; mend the reason and give the same command again")
    if bad:
        raise typer.Exit(1)


def _counts(receipts: "Receipts") -> str:
    words = {"done": DONE[receipts.mode], "present": "there already", "undone": "taken back"}
    found = [f"{number:,} files {words.get(status, status)}" for status, number in receipts.counts.items()]
    return ", ".join(found) or "no file"
