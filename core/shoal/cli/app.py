"""Puts the commands together: shoal's own, those of built-in services, then those of plugins."""

import importlib
from collections.abc import Sequence
from importlib.metadata import entry_points

import typer

from shoal.builtins import COMMANDS
from shoal.cli import files, look, migrate, plugins, review, run, status, submit, tune
from shoal.cli.console import say

NAME = "shoal"


def build(arguments: Sequence[str] = ()) -> typer.Typer:
    """Return the application.

    Plugins are loaded for their commands only where a package with hooks is installed and the arguments do not begin with a
    command of shoal's own: a start stays fast, and a broken plugin can't stop `shoal undo`.
    """
    app = typer.Typer(
        name=NAME,
        help="Turn heaps of images into clean, named, reviewed, organised sets.",
        epilog="Begin with: shoal run quickstart photos/ --out out/",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback(invoke_without_command=True)(_main)
    for module in (run, submit, status, tune, look, files, review, plugins, migrate):
        module.add(app)
    for name in COMMANDS:
        importlib.import_module(name).shoal_commands(app)
    own = {_name(command) for command in app.registered_commands} | {group.name for group in app.registered_groups}
    if not own & set(arguments[:1]) and entry_points(group="shoal"):
        _add_foreign(app)
    return app


def _add_foreign(app: typer.Typer) -> None:
    """Add the commands of plugins; trouble with them is told and leaves shoal's own commands usable."""
    from shoal.errors import ShoalError
    from shoal.host import Host

    try:
        host = Host(builtins=())
    except ShoalError as error:
        say(f"note: {error}")
        return
    for broken in host.broken:
        say(f"note: plugin {broken.name} could not be loaded ({broken.reason}); `shoal doctor` shows more")
    for implementation in host.manager.hook.shoal_commands.get_hookimpls():
        before = list(app.registered_commands)
        try:
            implementation.function(*[app for _ in implementation.argnames])
        except Exception as error:  # a plugin may raise anything
            say(f"note: the commands of plugin {implementation.plugin_name} are left out: {type(error).__name__}: {error}")
            app.registered_commands[:] = before
            continue
        _refuse_taken(app, before, implementation.plugin_name)


def _refuse_taken(app: typer.Typer, before: list[typer.models.CommandInfo], plugin: str) -> None:
    """Leave out commands whose name is taken: a plugin never replaces a command of shoal or of another plugin."""
    taken = {_name(command) for command in before}
    for command in app.registered_commands[len(before) :]:
        if _name(command) in taken:
            say(f"note: plugin {plugin} adds a command {_name(command)!r}, which exists already; it is left out")
            app.registered_commands.remove(command)
        taken.add(_name(command))


def _name(command: typer.models.CommandInfo) -> str:
    function = getattr(command.callback, "__name__", "")
    return command.name or function.lower().replace("_", "-")


def _main(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error; may stand anywhere."),
) -> None:
    """Turn heaps of images into clean, named, reviewed, organised sets."""
    if version:
        from shoal import __version__

        typer.echo(f"shoal {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
