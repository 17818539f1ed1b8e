"""`shoal import-config`: the configuration of an old workflow as a pipeline file."""

from pathlib import Path
from typing import Annotated

import typer

from shoal.cli.console import out, out_json, out_next, say
from shoal.cli.look import Json


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="import-config", epilog="Example: shoal import-config old.yaml --to pipeline.yaml")(import_config)


def import_config(
    old: Annotated[Path, typer.Argument(metavar="OLD.yaml", help="Configuration with the old workflow's option names.")],
    to: Annotated[Path, typer.Option(help="Pipeline file to write.")] = Path("pipeline.yaml"),
    workflow: Annotated[
        str, typer.Option(help="Which workflow the file is from: semantic-cluster or structural-clusters.")
    ] = "semantic-cluster",
    shoal_defaults: Annotated[
        bool,
        typer.Option("--shoal-defaults", help="For what the file leaves out, take shoal's defaults, not the workflow's."),
    ] = False,
    ignore_unknown: Annotated[
        bool, typer.Option("--ignore-unknown", help="Leave options that nobody knows out, and say so, instead of stopping.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    json: Json = False,
) -> None:
    """Make a pipeline file of an old configuration.

    What the file leaves out gets the old workflow's defaults, so that results stay alike; what has no effect is told.
    """
    from shoal.host import Host
    from shoal.migrating import commands, space_file, write
    from shoal.migrating import import_config as read

    made = read(old, Host(), workflow=workflow, shoal_defaults=shoal_defaults, ignore_unknown=ignore_unknown)
    write(made, to, force=force)
    shell = commands(made, str(to))
    if json:
        out_json({"pipeline": str(to), "text": made.text, "space": made.space, "commands": shell, "notes": list(made.notes)})
        return
    for note in made.notes:
        say(f"note: {note}")
    out(f"{to}: {len(made.pipeline.steps)} steps")
    if made.space:
        out(f"{space_file(str(to))}: values to try")
    out_next(shell)
