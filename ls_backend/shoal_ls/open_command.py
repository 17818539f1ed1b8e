"""`shoal review open`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoal.cli.console import out, out_json, out_next, quoted
from shoal.cli.look import Json, Out, RunName
from shoal.cli.progress import Bar
from shoal.cli.review import tell_lost
from shoal.cli.tables import Look, table
from shoal_ls.commands import review_group

if TYPE_CHECKING:
    from shoal.catalogue import Run
    from shoal_ls.projects import Opened

Url = Annotated[str, typer.Option("--url", metavar="URL", help="Where Label Studio answers, such as http://127.0.0.1:8080.")]
TokenFile = Annotated[
    Path | None, typer.Option(help="File that holds the token; without one LABEL_STUDIO_API_KEY or LABEL_STUDIO_TOKEN_FILE.")
]
OPENED = Look(numbers=("tasks", "new", "changed", "answered"), spare=("changed",))


def add(cli: typer.Typer) -> None:
    """Add the command."""
    review_group(cli).command(name="open", epilog="Example: shoal review open out/ --url http://127.0.0.1:8080")(open_)


def open_(
    out_: Out,
    url: Url,
    run: RunName = None,
    project: Annotated[str, typer.Option(help="What projects are called; one that is there is renamed.")] = "",
    token_file: TokenFile = None,
    images: Annotated[
        str, typer.Option(help="local (files that Label Studio shows), http (from --backend) or presigned (S3).")
    ] = "local",
    pictures_at: Annotated[
        str, typer.Option(metavar="FOLDER", help="Where Label Studio sees OUT/thumbnails, if elsewhere than here.")
    ] = "",
    doubtful: Annotated[int, typer.Option(min=0, max=100_000, help="Most doubtful images to ask about one by one.")] = 200,
    backend: Annotated[
        str | None, typer.Option(metavar="URL", help="shoal's backend (`shoal serve`) as Label Studio reaches it.")
    ] = None,
    backend_seen_at: Annotated[
        str, typer.Option(metavar="URL", help="The same as browsers reach it, for --images http, if elsewhere.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Put back a labelling configuration that was changed.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: Json = False,
) -> None:
    """Put a run's clusters into Label Studio for people to review.

    One project asks about clusters, others about suggestions for noise and about doubtful images, where there are any. The
    same command again adds what is new; what people answered stays.
    """
    import shoal
    from shoal.errors import UsageError
    from shoal_ls.client import Server
    from shoal_ls.connecting import check_address, login
    from shoal_ls.picturing import Source
    from shoal_ls.projects import Options, open_review
    from shoal_ls.thumbnails import WAYS

    way = next((way for way in WAYS if way == images), None)
    if way is None:
        raise UsageError(f"--images is {', '.join(WAYS)}, not {images!r}")
    if backend_seen_at:
        check_address(backend_seen_at, "--backend-seen-at", "pictures there need none: their addresses are signed")
    options = Options(
        project=project, pictures=Source(way, pictures_at, backend_seen_at or backend or ""), doubtful=doubtful,
        backend=login(backend) if backend else None, force=force,
    )  # fmt: skip
    bar = Bar(quiet=quiet or json)
    try:
        with Server.connect(url, file=token_file) as server:
            found = shoal.open(out_, run)
            opened = open_review(found, server, options, bar)
    finally:
        bar.close()
    _show(opened, found, out_, url, json)


def _show(opened: "list[Opened]", run: "Run", typed: str, url: str, json: bool) -> None:
    """Print what became of the projects and what to do next."""
    from shoal.reviewing.carry import lost

    if json:
        out_json(
            [
                {"kind": one.surface.kind, "url": one.url, "project": int(one.surface.remote), "new": one.made,
                 "tasks": one.filled.__dict__, "notes": list(one.notes)}
                for one in opened
            ]
        )  # fmt: skip
        return
    rows = [
        [one.surface.kind, one.filled.total, one.filled.created, one.filled.updated, one.filled.answered, one.url]
        for one in opened
    ]
    table("Projects", ("kind", "tasks", "new", "changed", "answered", "where"), rows, OPENED)
    for one in opened:
        for note in one.notes:
            out(f"note: {note}")
    tell_lost(run, lost(run))
    out_next([quoted("shoal", "review", "sync", typed, "--url", url), quoted("shoal", "doctor", "--label-studio", url)])
