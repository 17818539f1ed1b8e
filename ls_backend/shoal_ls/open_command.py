"""`shoal review open`."""

from typing import Annotated

import typer

from shoal_ls.commands import review_group


def add(cli: typer.Typer) -> None:
    """Add the command."""
    review_group(cli).command(name="open", epilog="Example: shoal review open out/ --url http://127.0.0.1:8080")(open_)


def open_(out_: Annotated[str, typer.Argument(metavar="OUT", help="Folder or URI given to `shoal run --out`.")]) -> None:
    """Put a run's clusters into Label Studio for people to review."""
    raise NotImplementedError
