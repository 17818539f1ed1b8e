"""Puts the commands together: shoal's own, then those of plugins."""

from importlib.metadata import entry_points

import typer

from shoal.cli import files, look, plugins, run

NAME = "shoal"


def build() -> typer.Typer:
    """Return the application. Plugins are only loaded where a package with hooks is installed: a start stays fast."""
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
    for module in (run, look, files, plugins):
        module.add(app)
    if entry_points(group="shoal"):
        from shoal.host import Host

        Host().manager.hook.shoal_commands(cli=app)
    return app


def _main(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """Turn heaps of images into clean, named, reviewed, organised sets."""
    if version:
        from shoal import __version__

        typer.echo(f"shoal {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
