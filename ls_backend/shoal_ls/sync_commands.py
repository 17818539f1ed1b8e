"""`shoal review sync`, `train` and `rollback`."""

from typing import TYPE_CHECKING, Annotated

import typer

from shoal_ls.commands import review_group

if TYPE_CHECKING:
    from shoal_ls.syncing import Applied

Out = Annotated[str, typer.Argument(metavar="OUT", help="Folder or URI given to `shoal run --out`.")]
RunName = Annotated[str | None, typer.Option("--run", help="Run, or the beginning of its name; the last one without.")]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


def add(cli: typer.Typer) -> None:
    """Add the commands."""
    group = review_group(cli)
    group.command(epilog="Example: shoal review sync out/")(sync)
    group.command(epilog="Example: shoal review train out/")(train)
    group.command(epilog="Example: shoal review rollback out/")(rollback)


def sync(
    out_: Out,
    run: RunName = None,
    policy: Annotated[
        str, typer.Option(help="What counts where several people answered one task: latest, majority, or ask: all of them.")
    ] = "latest",
    apply: Annotated[bool, typer.Option("--apply/--no-apply", help="Make a version of what was decided.")] = True,
    follow: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="Ask again and again, until Ctrl-C.")
    ] = None,
    token_file: Annotated[
        str | None, typer.Option(help="File with the token of Label Studio; else LABEL_STUDIO_API_KEY holds it.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: Json = False,
) -> None:
    """Fetch what reviewers decided in Label Studio, and apply it.

    Webhooks bring decisions at once while `shoal serve` runs; this misses none, and hears of none twice. A project or a task
    that was removed takes no decision back; an annotation that was removed does.
    """
    import shoal
    from shoal.cli.progress import Bar
    from shoal.errors import UsageError
    from shoal_ls.syncing import fetch, repeat

    if policy not in ("latest", "majority", "ask"):
        raise UsageError(f"--policy is latest, majority or ask, not {policy!r}")
    opened, bar = shoal.open(out_, run), Bar(quiet=quiet or json or follow is not None)

    def once() -> "Applied":
        return fetch(opened, policy, apply, token_file, bar)  # type: ignore[arg-type]

    try:
        if follow is not None:
            repeat(once, follow, lambda done: _told(done, json))
            return
        done = once()
    finally:
        bar.close()
    _told(done, json)
    if done.synced.gone:
        raise typer.Exit(1)


def _told(done: "Applied", json: bool) -> None:
    from shoal.cli.console import out, out_json

    if json:
        out_json(done.facts())
        return
    for line in done.lines():
        out(line)


def train(out_: Out, run: RunName = None, json: Json = False) -> None:
    """Train a head on what was decided: predictions use it if it beats what they use now.

    It is judged on a quarter of the decisions that no head is ever fitted to.
    """
    import shoal
    from shoal.cli.console import out, out_json
    from shoal_ls.learning import train as run_training

    done = run_training(shoal.open(out_, run))
    if json:
        out_json({**done.head.record.model_dump(), "version": done.head.version, "current": done.current})
    else:
        out(done.told)


def rollback(out_: Out, run: RunName = None, json: Json = False) -> None:
    """Go back to the head before the current one."""
    import shoal
    from shoal.cli.console import out, out_json
    from shoal_ls.learning import rollback as go_back

    opened = shoal.open(out_, run)
    left, now = go_back(opened.store, opened.id)
    if json:
        out_json({"left": left, "current": now})
    else:
        out(f"head {left} is taken back; predictions use {f'head {now}' if now else 'the nearest centroids'} from now on")
