"""The hooks that a plugin package may implement. Few on purpose: one is added when two plugins need it.

A package declares an entry point in the group `shoal` that names a module; functions of that module marked with
`@shoal.hookimpl` are its hooks.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import typer

    from shoal.contract import Stage
    from shoal.records import Finding, RunView, StepRecord

PROJECT = "shoal"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def shoal_stages() -> "Iterable[type[Stage]]":
    """Return the stage classes that this package adds.

    ```python
    import shoal

    @shoal.hookimpl
    def shoal_stages():
        return [Hue]
    ```
    """
    return ()


@hookspec
def shoal_commands(cli: "typer.Typer") -> None:
    """Add commands to `shoal`.

    ```python
    import shoal

    @shoal.hookimpl
    def shoal_commands(cli):
        @cli.command()
        def hello(name: str) -> None:
            "Greet somebody."
            print(f"hello {name}")
    ```
    """


@hookspec
def shoal_stage_done(run: "RunView", record: "StepRecord") -> None:
    """Hear that a step ended. An exception here is noted in the run's record and never fails the run.

    ```python
    import shoal

    @shoal.hookimpl
    def shoal_stage_done(run, record):
        print(run.id, record.step, f"{record.seconds:.1f} s")
    ```
    """


@hookspec
def shoal_run_done(run: "RunView") -> None:
    """Hear that a run ended, well or not (`run.status`). An exception here never fails the run.

    Candidates of `shoal tune` are told of here, too, and at its end the tuning: `run.record.tuning` is its name, and
    `run.record.scores` has what it measured.

    ```python
    import shoal

    @shoal.hookimpl
    def shoal_run_done(run):
        print(run.id, run.status, run.folder)
    ```
    """


@hookspec
def shoal_doctor(asked: "Mapping[str, str]") -> "Iterable[Finding]":
    """Return what `shoal doctor` should tell, each finding with its mend.

    `asked` says what the user wants looked at: `out` is a store, `label-studio` the URL of a server. What a plugin was not
    asked about costs nothing: it returns no finding.

    ```python
    import shoal
    from shoal.records import Finding

    @shoal.hookimpl
    def shoal_doctor(asked):
        if "out" not in asked:
            return []
        return [Finding("hue", "note", "no colour profile", "install one")]
    ```
    """
    return ()
