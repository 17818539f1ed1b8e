"""`shoal tune`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli.console import nearby, out, out_json, out_next, quoted, say
from shoal.cli.progress import Bar, clock
from shoal.text import terminal

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from shoal.runner import RunOptions
    from shoal.tuning import Tuning
    from shoal.tuning.trials import Trial

LEADERS = 10


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: shoal tune quickstart photos/ --out out/ --budget 100")(tune)


def tune(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="Recipe by name, or path of a pipeline file.")],
    images: Annotated[str, typer.Argument(metavar="IMAGES", help="Folder, file, manifest or URI of images.")],
    out_: Annotated[str, typer.Option("--out", help="Folder or URI that keeps rows, tables and results.")] = "out",
    space: Annotated[
        Path | None, typer.Option(help="File of options and their values; without one those of UMAP and HDBSCAN.")
    ] = None,
    budget: Annotated[int, typer.Option(min=1, max=100_000, help="Candidates to evaluate.")] = 100,
    search: Annotated[str, typer.Option(help="evolution (best + crossover + mutation) or grid.")] = "evolution",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    generation: Annotated[int, typer.Option(min=1, help="Candidates that are evaluated side by side.")] = 20,
    two_phases: Annotated[
        bool | None,
        typer.Option("--two-phases/--one-phase", help="First on a part of the images; from 2,000 images on by itself."),
    ] = None,
    fraction: Annotated[float, typer.Option(min=0.01, max=0.99, help="That part of the images.")] = 0.3,
    ratio: Annotated[float, typer.Option(min=0.05, max=0.95, help="Share of the budget for the first phase.")] = 0.6,
    top: Annotated[int, typer.Option(min=1, help="Best of the first phase that the second begins with.")] = 10,
    patience: Annotated[int, typer.Option(min=1, help="Generations without a better candidate before it ends ...")] = 5,
    least: Annotated[int, typer.Option(min=1, help="... after this many evaluations.")] = 60,
    modularity: Annotated[float, typer.Option(min=0.0, help="Exponent of modularity in the score.")] = 1.0,
    stability: Annotated[float, typer.Option(min=0.0, help="Exponent of stability; 0 leaves it out.")] = 0.5,
    neighbors: Annotated[int, typer.Option(min=1, help="Neighbours of an image in the graph of modularity.")] = 20,
    truth: Annotated[
        str | None, typer.Option(help="folder: report each candidate against folder names; never searched by.")
    ] = None,
    full: Annotated[int, typer.Option(min=0, max=20, help="Best candidates to run in full at the end, plots and all.")] = 0,
    set_: Annotated[list[str] | None, typer.Option("--set", help="STEP.OPTION=VALUE, as `shoal run` takes it.")] = None,
    on: Annotated[str, typer.Option(help="auto, local (this process) or ray.")] = "auto",
    address: Annotated[str | None, typer.Option(help="Ray cluster to join, such as auto or ray://HOST:10001.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Try many options of a pipeline and rank them.

    Features are computed once. The score is modularity ** 1 x stability ** 0.5: how far images lie in one cluster with
    their nearest ones by feature, and how alike the clusters come out with another seed. What was evaluated is kept:
    the same command goes on after a stop.
    """
    from shoal.errors import UsageError
    from shoal.runner import RunOptions
    from shoal.tuning import Settings
    from shoal.tuning import tune as run_tuning
    from shoal.tuning.settings import Weights

    for name, value, known in (("--on", on, ("auto", "local", "ray")), ("--search", search, ("evolution", "grid")),
                               ("--truth", truth or "folder", ("folder",))):  # fmt: skip
        if value not in known:
            raise UsageError(f"{name} is {_any_of(known)}, not {value!r}")
    settings = Settings(
        budget=budget, search=search, seed=seed, generation=generation, two_phases=two_phases,  # type: ignore[arg-type]
        fraction=fraction, ratio=ratio, top=top, patience=patience, least=least,
        weights=Weights(modularity, stability, neighbors),
    )  # fmt: skip
    run_options = RunOptions(where=on, address=address)  # type: ignore[arg-type]
    bar, board = Bar(quiet=quiet or json), Board(quiet=quiet or json)
    try:
        made = run_tuning(
            pipeline, images, out_, space=space, settings=settings, overrides=set_ or [], truth=truth,
            options=run_options, progress=bar, watcher=board,
        )  # fmt: skip
        board.close()
        _run_best(made, out_, full, run_options, bar)
    finally:
        bar.close()
        board.close()
    if json:
        out_json(made.summary)
    else:
        _summary(made, out_)


def _any_of(known: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(known[:-1]), known[-1])))


def _run_best(made: "Tuning", typed: str, count: int, options: "RunOptions", bar: Bar) -> None:
    """Run the best candidates in full, the best one last: its report is then that of the last run."""
    import shoal
    from shoal.tuning import from_trial
    from shoal.tuning.results import ranked

    for trial in reversed(ranked(made.trials)[:count]):
        pipeline, images = from_trial(typed, f"{made.name}/{trial.number}")
        done = shoal.run(Path(pipeline), images, typed, options=options, progress=bar)
        bar.tell(f"candidate {trial.number}: RUN {done.id}, {done.record.clusters:,} clusters")


class Board:
    """Shows the best candidates as they come: a table that is drawn anew on a terminal, else a line a generation.

    Args:
        quiet: show nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        """Show nothing yet."""
        self.quiet = quiet
        self._live: Live | None = None

    def begun(self, total: int, images: int) -> None:
        """Say what comes."""
        if not self.quiet:
            say(f"tuning: up to {total:,} candidates over {images:,} images")

    def evaluated(self, trials: "Sequence[Trial]", budget: int) -> None:
        """Show the leaders after a generation."""
        from shoal.tuning.results import ranked

        if self.quiet:
            return
        best = ranked(trials)[:LEADERS]
        failed = sum(trial.status == "failed" for trial in trials)
        head = f"{len(trials):,} of {budget:,} candidates, {failed:,} failed"
        if sys.stderr.isatty():
            self._draw(head, best)
        elif best:
            say(f"tuning: {head}; best: {best[0].number} with {best[0].score:.4f} ({_short(best[0])})")
        else:
            say(f"tuning: {head}; none was scored: {trials[-1].reason}")

    def close(self) -> None:
        """Leave the terminal as it was, the last table on it."""
        if self._live is not None:
            self._live.stop()
        self._live = None

    def _draw(self, head: str, best: "Sequence[Trial]") -> None:
        from rich.console import Console
        from rich.live import Live

        if self._live is None:
            self._live = Live(console=Console(stderr=True), auto_refresh=False)
            self._live.start()
        self._live.update(leaders(head, best), refresh=True)


def leaders(title: str, best: "Sequence[Trial]") -> "Table":
    """Return the leaderboard as a table of rich; the parts of the score are in the results' files."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    truth = any(trial.ari is not None for trial in best)
    for name in ("no.", "score", "clusters", "noise", *(["ARI"] if truth else [])):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("options")
    for trial in best:
        cells = [str(trial.number), _figure(trial.score), f"{trial.clusters:,}", f"{trial.noise:,}"]
        cells += [*([_figure(trial.ari)] if truth else []), _short(trial)]
        table.add_row(*(Text(terminal(cell)) for cell in cells))
    return table


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _short(trial: "Trial") -> str:
    return ", ".join(f"{option.partition('.')[2]} {_plain(value)}" for option, value in trial.options.items())


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _summary(made: "Tuning", typed: str) -> None:
    from rich.console import Console

    from shoal.store import Store
    from shoal.tuning.results import FOLDER, SUMMARY, TABLE, ranked
    from shoal.tuning.tune import ENDED

    best = ranked(made.trials)
    Console().print(leaders("Best candidates", best[:LEADERS]))
    failed = sum(trial.status == "failed" for trial in made.trials)
    ended = f"{ENDED[made.ended]}; {clock(made.summary['seconds'])}"
    out(f"TUNING {made.name}: {len(made.trials):,} candidates, {failed:,} failed; {ended}")
    home = (Store.open(typed).root / FOLDER).local
    if home is not None:
        out(f"results: {nearby(home / TABLE, typed)}, {nearby(home / SUMMARY, typed)}")
    if best and not best[0].score:
        say("no candidate has clusters that hold together; give other values with --space, such as smaller clusters")
    elif best:
        out_next([quoted("shoal", "run", "--from-trial", str(best[0].number), "--out", typed)])
    else:
        say(f"no candidate was scored; the last one: {made.trials[-1].reason}")
