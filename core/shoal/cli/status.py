"""`shoal status`: how runs are getting on, by their store or by their cluster."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli.console import out, out_json, say
from shoal.cli.progress import clock
from shoal.cli.submit import Address, TokenFile
from shoal.cli.tables import Look, table

if TYPE_CHECKING:
    from shoal.submitting.cluster import Job
    from shoal.watching import Standing

RUNS = Look(numbers=("images", "done", "of", "per second", "failed"), spare=("failed", "images", "job", "started"))
JOBS = Look(numbers=("code",), spare=("code", "started"), paths=("out",))
SHOWN = 10


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: shoal status s3://bucket/out")(status)


def status(
    out_: Annotated[
        str | None, typer.Argument(metavar="OUT", help="Folder or URI given to --out; default: ask the cluster.")
    ] = None,
    address: Address = None,
    token_file: TokenFile = None,
    all_: Annotated[bool, typer.Option("--all", help=f"All runs or jobs, not the last {SHOWN}.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how far runs are: step, rows, rate, time left.

    With OUT the runs of a store, on whatever machine they run; without it the jobs of the cluster at --address.
    """
    most = None if all_ else SHOWN
    if out_ is None:
        from shoal.submitting import Cluster

        jobs = Cluster.named(address, token_file).jobs()
        _jobs(jobs if most is None else jobs[-most:], json)
        return
    from shoal.store import Store
    from shoal.watching import standings

    _runs(standings(Store.open(out_), most=most), json)


def _runs(found: "list[Standing]", json: bool) -> None:
    if json:
        out_json([_plain(standing) for standing in found])
        return
    if not found:
        out("no run yet")
        return
    columns = ("id", "state", "step", "done", "of", "per second", "left", "images", "failed", "job", "started")
    table("Runs", columns, [_row(standing) for standing in found], RUNS)
    for standing in found:
        if standing.state == "silent":
            since = clock(standing.silent)
            say(f"{standing.record.id} gave no sign of life for {since}: it was killed or cut off; the same command goes on")
    last = found[-1]
    if last.said:
        say(f"the last run failed: {last.said}")


def _row(standing: "Standing") -> list[Any]:
    record, beat = standing.record, standing.heartbeat
    far: list[Any] = [record.steps[-1].step if record.steps else "", None, None, None, ""]
    if beat is not None and beat.step:
        left = "" if beat.left is None else clock(beat.left)
        far = [beat.step, beat.done, beat.total, beat.rate or None, left]
    return [record.id, standing.state, *far, record.images or None, standing.failed or None, record.job, record.started[:19]]


def _plain(standing: "Standing") -> dict[str, Any]:
    record, beat = standing.record, standing.heartbeat
    facts = {name: getattr(record, name) for name in ("id", "pipeline", "source", "started", "images", "job", "error")}
    facts |= {"state": standing.state, "steps_done": [step.step for step in record.steps], "failed": standing.failed}
    if beat is None:
        return facts
    return facts | {
        "step": beat.step, "done": beat.done, "total": beat.total, "per_second": beat.rate, "seconds_left": beat.left,
        "silent_seconds": standing.silent,
    }  # fmt: skip


def _jobs(found: "list[Job]", json: bool) -> None:
    if json:
        out_json([{**job.__dict__, "metadata": dict(job.metadata)} for job in found])
        return
    if not found:
        out("no job yet")
        return
    rows = [[job.id, job.status, job.code, _time(job.started), dict(job.metadata).get("shoal.out", "")] for job in found]
    table("Jobs", ("job", "status", "code", "started", "out"), rows, JOBS)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else ""
