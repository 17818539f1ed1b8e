"""`shoal review apply`, `undo`, `redo`, `history`, `status`, `carry`: what becomes of what people decided."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli.console import nearby, out, out_json, out_next, quoted, say
from shoal.cli.look import Json, Out, RunName
from shoal.cli.tables import Look, arrow, table
from shoal.text import amount

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.catalogue import Run
    from shoal.decisions import Conflict, Policy, Unsettled
    from shoal.reviewing import Lost

NAME = "review"
SHOWN = 20
POLICIES = ("latest", "majority", "ask")
HISTORY = Look(numbers=("version", "changes"), sentences=("what",), spare=("made", "by", "changes"))
SAID = Look(paths=("what",), sentences=("why", "says"), spare=("when", "about"))
LOST = Look(numbers=("cluster now",), paths=("what",), sentences=("why",), spare=("when", "who", "cluster now"))
PolicyName = Annotated[
    str,
    typer.Option(
        "--policy",
        help="Of several people's answers to one task: latest (the newest counts), majority (of more than half), "
        "ask (all must agree).",
    ),
]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        name=NAME,
        help="Apply what people decided, undo it, carry it on.",
        epilog="Example: shoal review status out/",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command(epilog="Example: shoal review apply out/ --policy majority")(apply)
    group.command(epilog="Example: shoal review undo out/")(undo)
    group.command(epilog="Example: shoal review redo out/")(redo)
    group.command(epilog="Example: shoal review history out/ --all")(history)
    group.command(epilog="Example: shoal review status out/")(status)
    group.command(epilog="Example: shoal review carry out/ --from 20261121")(carry)
    app.add_typer(group, name=NAME)


def apply(out_: Out, run: RunName = None, policy: PolicyName = "latest", json: Json = False) -> None:
    """Make a new version of what people decided.

    Clusters and labels become what the answers say. Answers that exclude each other are listed and not applied. Where they
    change nothing, no version is made, and the current one holds them.
    """
    import shoal
    from shoal.reviewing import make_version, user
    from shoal.reviewing.history import title, told

    opened = shoal.open(out_, run)
    made = make_version(opened, policy_of(policy), user())
    now = opened.look()
    if json:
        report = report_again(now) if made.version else None
        found = {"version": _dump(made.version), "conflicts": _dumps(made.conflicts), "unsettled": _dumps(made.unsettled)}
        out_json({**found, "report": report})
        return
    if made.version is None:
        out(f"nothing new: {title(now.version)}")
    else:
        out(f"{title(made.version)}: {told(made.version)}")
        _tell_report(now, out_)
    tell_unapplied(now, made.conflicts, made.unsettled)
    if made.version is not None:
        out_next([organize_next(out_), quoted("shoal", "review", "undo", out_)])


def undo(out_: Out, run: RunName = None, json: Json = False) -> None:
    """Go back behind the current version.

    Answers that only it considered count no more, also those that changed nothing. One that is edited afterwards counts
    again.
    """
    from shoal.reviewing import undo as go_back
    from shoal.reviewing import user

    _step(out_, run, json, lambda opened: go_back(opened, user()).number, "undone")


def redo(out_: Out, run: RunName = None, json: Json = False) -> None:
    """Go forward to the version that was undone last."""
    from shoal.reviewing import redo as go_forward

    _step(out_, run, json, lambda opened: go_forward(opened).number, "done again")


def history(
    out_: Out,
    run: RunName = None,
    all_: Annotated[bool, typer.Option("--all", help="Also every answer, by time: who, when, what.")] = False,
    json: Json = False,
) -> None:
    """List the versions of a run: who, when, what.

    Also what could not be carried to it from an earlier run.
    """
    import shoal
    from shoal.reviewing.carry import lost as left_behind
    from shoal.reviewing.history import history as versions
    from shoal.reviewing.history import lines, title

    opened = shoal.open(out_, run)
    found, lost = versions(opened), left_behind(opened)
    if json:
        every = {"decisions": list(lines(opened))} if all_ else {}
        facts = {"run": opened.id, "versions": found.to_pylist(), "lost": [asdict(row) for row in lost]}
        out_json({**facts, **every})
        return
    out(f"RUN {opened.id}: {title(opened.version)}")
    if found.num_rows:
        arrow("Versions", found, HISTORY)
    tell_lost(opened, lost)
    for line in lines(opened) if all_ else ():
        out(line)


def status(out_: Out, run: RunName = None, policy: PolicyName = "latest", json: Json = False) -> None:
    """Show how a run's review stands.

    Answers that wait, conflicts, and what could not be carried from an earlier run.
    """
    import shoal
    from shoal.reviewing.history import title
    from shoal.reviewing.status import status as stand

    opened = shoal.open(out_, run)
    found = stand(opened, policy_of(policy))
    if json:
        out_json(
            {
                "run": opened.id, "version": _dump(found.version), "surfaces": _dumps(found.surfaces),
                "answers": found.answers, "waiting": found.waiting, "withdrawn": found.withdrawn,
                "conflicts": _dumps(found.conflicts), "unsettled": _dumps(found.unsettled),
                "lost": [asdict(lost) for lost in found.lost],
            }
        )  # fmt: skip
        return
    out(f"RUN {opened.id}: {title(opened.version)}")
    for surface in found.surfaces:
        out(f"reviewed at {surface.place or 'the command line'}: {surface.facts.get('title') or surface.kind}")
    counts = amount(found.answers, "answer counts", "answers count"), amount(found.waiting, "waits", "wait")
    out(f"{', '.join(counts)} to be applied, {amount(found.withdrawn, 'revision was', 'revisions were')} undone")
    tell_unapplied(opened, found.conflicts, found.unsettled)
    tell_lost(opened, found.lost)
    if found.waiting:
        out_next([quoted("shoal", "review", "apply", out_)])


def carry(
    out_: Out,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="RUN", help="Earlier run; default: the last one that was reviewed.")
    ] = None,
    run: RunName = None,
    overlap: Annotated[
        float, typer.Option(min=0, max=1, help="Least share of common images for two clusters to be one.")
    ] = 0.3,
    json: Json = False,
) -> None:
    """Give a run the names and decisions of an earlier one.

    Clusters are found again by their members; new ones get fresh numbers. What could not be carried is listed. Answers
    about the run itself wait then, and mean the same clusters under the new numbers.
    """
    import shoal
    from shoal.reviewing import user
    from shoal.reviewing.carry import carry as carry_to
    from shoal.reviewing.history import told
    from shoal.reviewing.versions import standing

    opened = shoal.open(out_, run)
    source = shoal.open(out_, from_, host=opened.host) if from_ is not None else None
    made = carry_to(opened, source, user(), overlap)
    now = opened.look()
    if json:
        found = {"version": _dump(made.version), "from": made.source, "matches": [asdict(pair) for pair in made.matches]}
        out_json({**found, "fresh": made.fresh, "lost": [asdict(lost) for lost in made.lost], "report": report_again(now)})
        return
    out(f"version {made.version.number}: {told(made.version)}")
    again, fresh = amount(len(made.matches), "cluster was", "clusters were"), amount(made.fresh, "is", "are")
    out(f"{again} found again, {fresh} new (overlap of at least {overlap:g})")
    tell_lost(now, made.lost)
    _tell_report(now, out_)
    waiting = len(standing(now).waiting)
    if waiting:
        wait = amount(waiting, "answer about this run waits", "answers about this run wait")
        out(f"{wait}, and will be translated to the new numbers when you apply")
    what = ("review", "apply") if waiting else ("show",)
    out_next([quoted("shoal", *what, out_), quoted("shoal", "review", "undo", out_)])


def _step(out_: str, run: str | None, json: bool, go: Any, word: str) -> None:
    import shoal
    from shoal.reviewing.history import title

    opened = shoal.open(out_, run)
    number = go(opened)
    now = opened.look()
    if json:
        out_json(
            {"run": opened.id, word.replace(" ", "_"): number, "version": _dump(now.version), "report": report_again(now)}
        )
        return
    out(f"version {number} is {word}; the run is now {title(now.version)}")
    _tell_report(now, out_)


def policy_of(text: str) -> "Policy":
    """Return a policy that is there.

    Raises:
        UsageError: there is none of that name.
    """
    from shoal.errors import UsageError

    if text not in POLICIES:
        raise UsageError(f"--policy is {', '.join(POLICIES[:-1])} or {POLICIES[-1]}, not {text!r}")
    return text  # type: ignore[return-value]


def organize_next(typed: str) -> str:
    """Return the command that shows where the files of a new version would go."""
    return quoted("shoal", "organize", typed, "--to", "sorted/", "--dry-run")


def report_again(run: "Run") -> str:
    """Write the run's report again and return its path or URI."""
    from shoal.reporting import write_report

    return write_report(run)


def _tell_report(run: "Run", typed: str) -> None:
    from pathlib import Path

    place = report_again(run)
    out(f"report: {nearby(Path(place), typed) if run.folder.local is not None else place}")


def _dump(value: Any) -> Any:
    return None if value is None else value.model_dump(mode="json")


def _dumps(values: "Sequence[Any]") -> list[Any]:
    return [_dump(value) for value in values]


def tell_unapplied(run: "Run", conflicts: "Sequence[Conflict]", unsettled: "Sequence[Unsettled]") -> None:
    """Print what is not applied."""
    names = _names(run)
    rows = [[names(found.subject), found.about, said.who, said.at, said.asks] for found in conflicts for said in found.said]
    if rows:
        table("Conflicts, not applied", ("what", "about", "who", "when", "says"), rows[:SHOWN], SAID)
        _more(len(rows))
    rows = [[names(left.subject), left.why, ", ".join(said.who for said in left.said)] for left in unsettled]
    if rows:
        table("Unsettled, not applied", ("what", "why", "who"), rows[:SHOWN], SAID)
        _more(len(rows))


def tell_lost(run: "Run", lost: "Sequence[Lost]") -> None:
    """Print what could not be carried to a run, and in which cluster an image of it is now."""
    if not lost:
        return
    names, here = _names(run), dict(zip(*run.joined(["cluster"]).to_pydict().values(), strict=True))
    rows = [
        [names(row.subject), row.label, row.what, row.by, row.at, row.why, here.get(row.subject.removeprefix("image:"))]
        for row in lost
    ]
    table("Not carried", ("what", "label", "decided", "who", "when", "why", "cluster now"), rows[:SHOWN], LOST)
    _more(len(rows))


def _more(rows: int) -> None:
    if rows > SHOWN:
        say(f"... and {rows - SHOWN:,} more; --json prints all")


def _names(run: "Run") -> Any:
    """Return what gives a subject as people know it: an image by its path."""
    paths = dict(zip(*(run.images[name].to_pylist() for name in ("id", "path")), strict=True))
    return lambda subject: paths.get(subject.removeprefix("image:"), subject.replace(":", " "))
