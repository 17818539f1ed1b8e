"""`shoal review sync`, `train` and `rollback`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoal.cli.console import nearby, out, out_json, out_next, quoted, say
from shoal.cli.look import Json, Out, RunName
from shoal.cli.progress import Bar
from shoal.cli.review import PolicyName, organize_next, policy_of, report_again, tell_unapplied
from shoal_ls.commands import review_group

if TYPE_CHECKING:
    from shoal.catalogue import Run
    from shoal_ls.syncing import Round


def add(cli: typer.Typer) -> None:
    """Add the commands."""
    group = review_group(cli)
    group.command(epilog="Example: shoal review sync out/")(sync)
    group.command(epilog="Example: shoal review train out/")(train)
    group.command(epilog="Example: shoal review rollback out/")(rollback)


def sync(
    out_: Out,
    run: RunName = None,
    policy: PolicyName = "latest",
    apply: Annotated[bool, typer.Option("--apply/--no-apply", help="Make a version of what was decided.")] = True,
    follow: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="Ask again every so many seconds, until Ctrl-C.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Ask this Label Studio only; default: all that the run is reviewed in.")
    ] = None,
    token_file: Annotated[
        str | None, typer.Option(help="File with the token of Label Studio; else LABEL_STUDIO_API_KEY holds it.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: Json = False,
) -> None:
    """Fetch what reviewers decided in Label Studio, and apply it.

    Webhooks bring decisions at once while the backend runs; this misses none, and hears of none twice. A project or a task
    that was removed takes no decision back; an annotation that was removed does.
    """
    import shoal
    from shoal_ls.syncing import fetch, repeat

    opened, how, bar = shoal.open(out_, run), policy_of(policy), Bar(quiet=quiet or json or follow is not None)

    def once() -> "Round":
        return fetch(opened, how, apply, token_file, bar, url)

    if follow is not None:
        repeat(once, follow, lambda done: _tell(opened, out_, done, json))
        return
    try:
        done = once()
    finally:
        bar.close()
    _tell(opened, out_, done, json)
    if done.synced.gone:
        raise typer.Exit(1)


def _tell(run: "Run", typed: str, done: "Round", json: bool) -> None:
    from shoal.reviewing.history import title, told

    now = run.look()
    report = _report(now) if done.made and done.made.version else None
    if json:
        out_json({**done.facts(), "report": report})
        return
    for line in done.lines():
        out(line)
    if done.made is None:
        return
    if done.made.version is None:
        out(f"nothing new: {title(now.version)}")
    else:
        out(f"{title(done.made.version)}: {told(done.made.version)}")
        out(f"report: {nearby(Path(report), typed)}" if report else "the report is as it was")
    tell_unapplied(now, done.made.conflicts, done.made.unsettled)
    if done.made.version is not None:
        review = [quoted("shoal", "review", command, typed) for command in ("train", "undo")]
        out_next([organize_next(typed), *review])


def _report(run: "Run") -> str | None:
    """Write the report again; trouble with it is told, as the version is made and rounds go on."""
    from shoal.errors import ShoalError

    try:
        return report_again(run)
    except ShoalError as error:
        say(f"note: the report can't be written: {error}")
        return None


def train(out_: Out, run: RunName = None, json: Json = False) -> None:
    """Have predictions learn from what was decided.

    A head is trained, and takes over if it beats what predicts now on a quarter of the decisions, which no head is ever
    fitted to.
    """
    import shoal
    from shoal_ls.learning import train as run_training

    done = run_training(shoal.open(out_, run))
    if json:
        out_json({**done.head.record.model_dump(), "version": done.head.version, "current": done.current})
    else:
        out(done.told)


def rollback(out_: Out, run: RunName = None, json: Json = False) -> None:
    """Go back to the head before the current one."""
    import shoal
    from shoal_ls.learning import rollback as go_back

    opened = shoal.open(out_, run)
    left, now = go_back(opened.store, opened.id)
    if json:
        out_json({"run": opened.id, "left": left, "current": now})
    else:
        out(f"head {left} is taken back; predictions use {f'head {now}' if now else 'the nearest centroids'} from now on")
