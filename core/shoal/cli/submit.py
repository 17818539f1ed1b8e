"""`shoal submit`: a run as a job of a Ray cluster."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from shoal.cli.console import complain, out, out_json, out_next, quoted, say
from shoal.cli.run import Overrides, Preset, Wait

if TYPE_CHECKING:
    from shoal.submitting import Cluster, Submission

Address = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Job server of the cluster, http://HEAD:8265; default: RAY_API_SERVER_ADDRESS."),
]
TokenFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="File of the cluster's token; default: RAY_AUTH_TOKEN_PATH.")
]


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: shoal submit quickstart s3://b/in --out s3://b/out --follow")(submit)


def submit(
    pipeline: Annotated[
        str | None,
        typer.Argument(metavar="PIPELINE", help="Recipe by name, or path of a pipeline file, which travels along."),
    ] = None,
    images: Annotated[
        str | None, typer.Argument(metavar="IMAGES", help="URI that the cluster reaches, or a shared path.")
    ] = None,
    out_: Annotated[str, typer.Option("--out", help="URI or shared folder that keeps rows, tables and runs.")] = "out",
    address: Address = None,
    set_: Overrides = None,
    preset: Preset = None,
    force: Annotated[list[str] | None, typer.Option(help="Step to compute again; may be repeated or a,b.")] = None,
    wait: Wait = 3600,
    plugin: Annotated[
        list[str] | None, typer.Option(help="Requirement, wheel or folder of a plugin package; may be repeated.")
    ] = None,
    env: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Variable whose value here the job gets.")] = None,
    shared: Annotated[
        list[str] | None, typer.Option(metavar="FOLDER", help="Folder that every node has at the same path.")
    ] = None,
    pack: Annotated[bool, typer.Option("--pack/--no-pack", help="Send this shoal, or use the one of the cluster.")] = True,
    follow: Annotated[bool, typer.Option("--follow/--detach", help="Stay and print what the job prints.")] = False,
    follow_job: Annotated[str | None, typer.Option(metavar="JOB", help="Follow a job that was submitted before.")] = None,
    stop_job: Annotated[str | None, typer.Option(metavar="JOB", help="Ask a job to end; what is done is kept.")] = None,
    token_file: TokenFile = None,
    json: Annotated[bool, typer.Option("--json", help="Print the job as JSON.")] = False,
) -> None:
    """Run a pipeline as a job of a Ray cluster.

    shoal itself, a pipeline file and plugins travel along. With --follow the command ends as the job does: 0 well, 1 failed,
    2 wrong use. Ctrl-C leaves the job running.
    """
    from shoal.errors import UsageError
    from shoal.submitting import Cluster, Submission
    from shoal.submitting import submit as send

    cluster = Cluster.named(address, token_file)
    if sum(given is not None for given in (pipeline, follow_job, stop_job)) > 1:
        raise UsageError("give one of PIPELINE, --follow-job and --stop-job; the last two take the name of a job alone")
    if stop_job is not None:
        _stop(cluster, stop_job, json)
        return
    if follow_job is not None:
        _follow(cluster, follow_job, json)
        return
    if pipeline is None or images is None:
        missing = "PIPELINE" if pipeline is None else "IMAGES"
        raise UsageError(f"missing argument '{missing}'; `shoal submit --help` shows how")
    options = [word for step in force or [] for word in ("--force", step)]
    wanted = Submission(
        pipeline,
        images,
        out_,
        overrides=tuple(set_ or ()),
        preset=preset,
        options=(*options, "--wait", f"{wait:g}"),
        plugins=tuple(plugin or ()),
        variables=tuple(env or ()),
        shared=tuple(shared or ()),
        pack=pack,
    )
    _warn(wanted)
    job = send(cluster, wanted, say)
    if cluster.note:
        say(f"note: {cluster.note}")
    if follow:
        _follow(cluster, job, json, f"JOB {job}: submitted to {cluster.address}")
    elif json:
        out_json({"job": job, "address": cluster.address, "out": out_, "status": "PENDING"})
    else:
        out(f"JOB {job}: submitted to {cluster.address}")
        out_next([*_again(cluster, job), quoted("shoal", "status", out_)])


def _warn(wanted: "Submission") -> None:
    if wanted.variables:
        say("note: Ray keeps the values of --env with the job and gives them to whoever may list its jobs; secrets that the "
            "cluster itself has (a Kubernetes secret, a role of its machines) are safer")  # fmt: skip


def _follow(cluster: "Cluster", job: str, json: bool, told: str = "") -> None:
    """Print what a job prints until it ends, then end as it did."""
    from shoal.submitting import UnansweredError, follow

    try:
        if told:
            say(told)
        ended = follow(cluster, job, say if json else _heard)
    except KeyboardInterrupt:
        raise _left(cluster, job, f"job {job} goes on") from None
    except UnansweredError as error:
        complain(str(error))
        raise _left(cluster, job, f"job {job} goes on if its cluster does") from None
    if json:
        out_json({"job": job, "address": cluster.address, "status": ended.job.status, "code": ended.code})
    if ended.said:
        complain(ended.said)
    raise typer.Exit(ended.code)


def _left(cluster: "Cluster", job: str, how: str) -> typer.Exit:
    """Say how to go on with a job that is not followed to its end, and return the end of this command."""
    say(f"{how}; follow it again, or stop it:")
    for command in _again(cluster, job):
        say(f"  {command}")
    return typer.Exit(1)


def _heard(line: str) -> None:
    """Print a line of the job at once: into a pipe or a file, lines would come by the block."""
    out(line)
    sys.stdout.flush()


def _again(cluster: "Cluster", job: str) -> list[str]:
    more = ["--address", cluster.address, *(["--token-file", cluster.token_file] if cluster.token_file else [])]
    return [quoted("shoal", "submit", f"--{word}-job", job, *more) for word in ("follow", "stop")]


def _stop(cluster: "Cluster", job: str, json: bool) -> None:
    stopped = cluster.stop(job)
    if json:
        out_json({"job": job, "stopped": stopped})
    else:
        out(f"job {job} {'is asked to end' if stopped else 'has ended already'}; what is done is kept")
