"""`shoal serve`: the ML backend for Label Studio."""

from pathlib import Path
from typing import Annotated

import typer


def add(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog="Example: shoal serve out/ --port 9090")(serve)


def serve(
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder or URI given to `shoal run --out`.")],
    run: Annotated[
        str | None,
        typer.Option("--run", help="Run, or the beginning of its name; default: always the last that ended well."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; others than this machine need a password.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 9090,
    label_studio: Annotated[
        str, typer.Option("--label-studio", metavar="URL", help="Server that images may be fetched from.")
    ] = "",
    document_root: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Document root of Label Studio's local files.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="Other host that images may be fetched from; may be repeated.")
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the password of SHOAL_BACKEND_USER, for Basic authentication."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder for the inbox of the webhook; default: in OUT.")
    ] = None,
    model: Annotated[
        str,
        typer.Option(metavar="MODULE:CLASS", help="Serve a model written for Label Studio's own backend instead of a run."),
    ] = "",
) -> None:
    """Serve predictions to Label Studio and hear its reviewers.

    Add http://HOST:PORT as a model in a project's settings, and http://HOST:PORT/webhook as its webhook.
    """
    from shoal_ls.extra import need

    need("fastapi", "uvicorn", "prometheus_client", "httpx")
    from shoal_ls.service.serving import Options
    from shoal_ls.service.serving import serve as start

    start(
        Options(
            out=out, run=run, host=host, port=port, state=state, model=model, label_studio=label_studio,
            document_root=document_root, allow_hosts=tuple(allow_host or ()), password_file=password_file,
        )
    )  # fmt: skip
