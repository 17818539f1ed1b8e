"""`shoal run`."""

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

import typer

from shoal.cli.console import nearby, out, out_json, out_next, say
from shoal.cli.look import CLUSTERS, steps
from shoal.cli.progress import Bar, clock
from shoal.cli.tables import arrow
from shoal.hooks import hookimpl

if TYPE_CHECKING:
    from shoal.catalogue import Run
    from shoal.records import RunView, StepRecord

SHOWN = 40
SMALLEST = 5
"""Images of the smallest cluster that is worth looking for, unless somebody says so."""


Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="STEP.OPTION=VALUE, or STEP=NAME[:ARG] for another stage; may be repeated."),
]
Preset = Annotated[
    str | None, typer.Option(help="small, medium, large or huge: options for a number of images; --set wins over it.")
]
Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait for room on a cluster that is busy.")]


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: shoal run quickstart photos/ --out out/ --set cluster.min_samples=3")(run)


def run(
    pipeline: Annotated[
        str | None,
        typer.Argument(metavar="PIPELINE", help="Recipe by name (`shoal recipes` lists them), or path of a pipeline file."),
    ] = None,
    images: Annotated[str | None, typer.Argument(metavar="IMAGES", help="Folder, file, manifest or URI of images.")] = None,
    out_: Annotated[str, typer.Option("--out", help="Folder or URI that keeps rows, tables and runs.")] = "out",
    set_: Overrides = None,
    preset: Preset = None,
    force: Annotated[list[str] | None, typer.Option(help="Step to compute again; may be repeated or a,b.")] = None,
    on: Annotated[str, typer.Option(help="auto, local (this process) or ray.")] = "auto",
    address: Annotated[str | None, typer.Option(help="Ray cluster to join, such as auto or ray://HOST:10001.")] = None,
    wait: Wait = 3600,
    from_trial: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Candidate of the last `shoal tune` into --out, over its images.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the run's record as JSON.")] = False,
) -> None:
    """Run a pipeline over images: embed, cluster, name, draw.

    What the folder of --out holds already is not computed again; a run that was stopped goes on.
    """
    import shoal
    from shoal.errors import UsageError
    from shoal.host import Host
    from shoal.presets import with_preset
    from shoal.runner import RunOptions

    if on not in ("auto", "local", "ray"):
        raise UsageError(f"--on is auto, local or ray, not {on!r}")
    pipeline, images = _what(pipeline, images, from_trial, out_)
    names = frozenset(name.strip() for text in force or [] for name in text.split(",") if name.strip())
    options = RunOptions(where=on, address=address, force=names, wait=wait)  # type: ignore[arg-type]
    host, bar = Host(), Bar(quiet=quiet or json)
    host.manager.register(_Advice(bar, preset), name="shoal.cli")
    overrides = with_preset(preset, pipeline, host, set_ or [])
    try:
        with redirect_stdout(sys.stderr):  # Ray prints what it thinks of a lost node, which is no part of the answer
            made = shoal.run(pipeline, images, out_, overrides=overrides, options=options, host=host, progress=bar)
    finally:
        bar.close()
    if json:
        out_json(made.record.model_dump(mode="json"))
    else:
        _summary(made, out_)


def _what(pipeline: str | None, images: str | None, trial: str | None, out_: str) -> tuple[str, str]:
    """Return (pipeline, images) that are meant: those that were named, or those of a tuning's candidate."""
    from shoal.errors import UsageError

    if trial is not None:
        from shoal.tuning import from_trial

        if pipeline is not None:
            raise UsageError(f"--from-trial brings the pipeline and its images; leave {pipeline!r} out, or --from-trial")
        return from_trial(out_, trial)
    missing = "PIPELINE" if pipeline is None else "IMAGES"
    if pipeline is None or images is None:
        raise UsageError(f"missing argument '{missing}'; `shoal run --help` shows how")
    return pipeline, images


class _Advice:
    """Says once the images are counted which preset fits their number."""

    def __init__(self, bar: Bar, chosen: str | None) -> None:
        self.bar, self.chosen = bar, chosen

    @hookimpl
    def shoal_stage_done(self, run: "RunView", record: "StepRecord") -> None:
        """Speak after the index step."""
        from shoal.presets import fitting

        if not record.stage.startswith("index.") or not run.record.images:
            return
        fit, found = fitting(run.record.images), f"{run.record.images:,} images found"
        if fit.name == self.chosen:
            self.bar.tell(f"{found}: preset {fit.name}, as chosen, fits")
        else:
            self.bar.tell(f"{found}: preset {fit.name} fits that many; --preset {fit.name} takes it ({fit.description})")


def _summary(made: "Run", typed: str) -> None:
    from shoal.reporting import clusters_table, next_commands

    record = made.record
    steps(made)
    clusters = clusters_table(made)
    if clusters.num_rows:
        arrow("Clusters", clusters, CLUSTERS, most=SHOWN)
    found = f"{record.images:,} images"
    clusterer = next((step for step in reversed(record.steps) if step.stage.startswith("cluster.")), None)
    if clusterer:
        found += f" in {record.clusters:,} clusters, {record.noise:,} noise"
    files = f"{record.accepted:,} of {record.files:,} files accepted, {record.rejected:,} rejected"
    out(f"RUN {record.id}: {found}; {files}; {clock(record.seconds)}")
    if clusterer and not record.clusters:
        say(f"no cluster was found; {_smaller(clusterer)}")
    if made.folder.exists("report.html"):
        local = made.folder.local
        out(f"report: {nearby(local / 'report.html', typed) if local else made.folder.place('report.html')}")
    for trouble in record.hook_errors:
        say(f"note: {trouble}")
    out_next(next_commands(made, typed))


def _smaller(step: "StepRecord") -> str:
    """Say how the step of a run without a cluster finds smaller ones."""
    size, samples = step.options.get("min_cluster_size"), step.options.get("min_samples")
    if not isinstance(size, int) or size < SMALLEST * 2:
        return f"`shoal stages {step.stage}` lists the options that find smaller ones"
    few = max(SMALLEST, size // 10)
    settings = f"--set {step.step}.min_cluster_size={few}"
    if isinstance(samples, int) and samples > few:
        settings += f" --set {step.step}.min_samples={few}"
    return f"a cluster has at least {size} images; {settings} takes smaller ones, and `shoal tune` looks for good values"
