"""Rows in Label Studio that let it show files of a folder, and what it says of its own settings on the way."""

import re
from typing import Any

from shoal_ls.client import Server
from shoal_ls.errors import ServerError

LOCAL = "/api/storages/localfiles/"
S3 = "/api/storages/s3/"
_ROOT = re.compile(r'LOCAL_FILES_DOCUMENT_ROOT="([^"]+)"')
Json = dict[str, Any]


def document_root(server: Server, project: int) -> str:
    """Return the folder below which the server shows local files; empty where it does not say.

    No call tells it, but the server names it when it refuses a row over a folder outside: `/` is always outside.
    """
    try:
        server.ask("POST", f"{LOCAL}validate", "check a storage", {"project": project, "path": "/", "use_blob_urls": True})
    except ServerError as error:
        found = _ROOT.search(error.said)
        return found[1] if found else ""
    return "/"


def add_local(server: Server, project: int, path: str) -> None:
    """Let a project show the files below a folder, where it does not yet. Nothing is imported from there.

    Args:
        server: the server.
        project: its number.
        path: as the server sees it.

    Raises:
        ServerError: the folder is not there, is not below the document root, or local files are switched off.
    """
    rows = server.listed(LOCAL, project, f"list the storages of project {project}")
    if any(row["path"].rstrip("/") == path.rstrip("/") for row in rows):
        return
    row = {"project": project, "path": path, "use_blob_urls": True, "title": "pictures of shoal"}
    server.ask("POST", LOCAL, f"show files of {path} in project {project}", row)


def add_bucket(server: Server, project: int, uri: str) -> None:
    """Let a project show pictures of an S3 bucket by addresses that the server signs with its own credentials.

    Args:
        server: the server.
        project: its number.
        uri: of the folder: `s3://bucket/prefix`.

    Raises:
        ServerError: the server can't reach the bucket.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    rows = server.listed(S3, project, f"list the storages of project {project}")
    if any(row["bucket"] == bucket and (row["prefix"] or "") == prefix for row in rows):
        return
    row = {"project": project, "bucket": bucket, "prefix": prefix, "use_blob_urls": True, "presign": True}
    server.ask("POST", S3, f"show files of {uri} in project {project}", {**row, "title": "pictures of shoal"})
