"""`shoal run`."""

from pathlib import Path
from typing import Annotated

import typer

from shoal.cli.console import Bar, arrow, out, out_json, say


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: shoal run quickstart photos/ --out out/ --set cluster.min_cluster_size=15")(run)


def run(
    pipeline: Annotated[str, typer.Argument(help="Recipe by name, or path of a pipeline file.")],
    images: Annotated[str, typer.Argument(help="Folder, file, manifest or URI of images.")],
    out_: Annotated[str, typer.Option("--out", help="Folder or URI that keeps rows, tables and runs.")] = "out",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="STEP.OPTION=VALUE, or STEP=NAME[:ARG] for another stage; may be repeated."),
    ] = None,
    force: Annotated[list[str] | None, typer.Option(help="Step to compute again; may be repeated or a,b.")] = None,
    on: Annotated[str, typer.Option(help="auto, local (this process) or ray.")] = "auto",
    address: Annotated[str | None, typer.Option(help="Ray cluster to join, such as auto or ray://HOST:10001.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the run's record as JSON.")] = False,
) -> None:
    """Run a pipeline over images: index, embed, cluster, name, draw.

    What the folder of --out holds already is not computed again; a run that was stopped goes on.
    """
    import shoal
    from shoal.errors import UsageError
    from shoal.runner import RunOptions

    if on not in ("auto", "local", "ray"):
        raise UsageError(f"--on is auto, local or ray, not {on!r}")
    names = frozenset(name.strip() for text in force or [] for name in text.split(",") if name.strip())
    options = RunOptions(where=on, address=address, force=names)  # type: ignore[arg-type]
    bar = Bar(quiet=quiet or json)
    try:
        made = shoal.run(pipeline, images, out_, overrides=set_ or [], options=options, progress=bar)
    finally:
        bar.close()
    if json:
        out_json(made.record.model_dump(mode="json"))
        return
    _summary(made)


def _summary(made: "object") -> None:
    from shoal.catalogue import Run
    from shoal.reporting import clusters_table, next_commands, steps_table

    if not isinstance(made, Run):
        raise TypeError(made)
    record = made.record
    arrow("Steps", steps_table(made), numbers=("seconds", "rows", "computed", "cached", "failed", "rate"))
    clusters = clusters_table(made)
    if clusters.num_rows:
        arrow("Clusters", clusters, numbers=("cluster", "size"), most=40)
    out(
        f"RUN {record.id}: {record.images:,} images in {record.clusters:,} clusters, {record.noise:,} noise; "
        f"{record.accepted:,} of {record.files:,} files accepted, {record.rejected:,} rejected; {record.seconds:.1f} s"
    )
    report = made.folder.local / "report.html" if made.folder.local else None
    if report is not None and Path(report).exists():
        out(f"report: {report}")
    for trouble in record.hook_errors:
        say(f"note: {trouble}")
    out("next:")
    for command in next_commands(made.store.root.uri):
        out(f"  {command}")
