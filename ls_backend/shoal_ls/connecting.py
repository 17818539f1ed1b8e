"""Connects a project to shoal's backend: predictions for what it asks, and a webhook for what people say."""

import base64
from dataclasses import dataclass, field
from typing import Any

from shoal.errors import UsageError
from shoal_ls.client import Server

ML, WEBHOOKS = "/api/ml/", "/api/webhooks/"
ACTIONS = ("ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED")
"""What the webhook tells of: not of tasks that shoal itself makes."""

Json = dict[str, Any]


@dataclass(frozen=True)
class BackendLogin:
    """Where the backend answers, and what Label Studio logs in with.

    Attributes:
        url: as Label Studio reaches it.
        user, password: of Basic authentication; empty without.
    """

    url: str
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of requests that are let in."""
        if not self.user:
            return {}
        return {"Authorization": f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"}


def login(url: str) -> BackendLogin:
    """Return the backend at a URL with what SHOAL_BACKEND_USER and SHOAL_BACKEND_PASSWORD (or its file) say.

    Raises:
        UsageError: one of the two is missing, or the file can't be read.
    """
    from shoal_ls.service.auth import credentials

    check_address(url, "--backend", "set SHOAL_BACKEND_USER and SHOAL_BACKEND_PASSWORD instead")
    found = credentials()
    return BackendLogin(url, found.user, found.password) if found else BackendLogin(url)


def check_address(url: str, option: str, instead: str) -> None:
    """Refuse an address that is none, or that holds a password: it would be shown, logged and kept in tasks.

    Args:
        url: that was given; it is not told again, as it may hold the password.
        option: that gave it.
        instead: what to do.

    Raises:
        UsageError: it is such an address.
    """
    if not url.startswith(("http://", "https://")) or "@" in url:
        raise UsageError(f"{option} is an http(s) address without a password; {instead}")


def connect(server: Server, project: int, backend: BackendLogin) -> None:
    """Give a project the backend and the webhook; what it has already is brought up to date.

    Label Studio makes a webhook by itself when a backend is added, without any header: it could not log in.

    Raises:
        ServerError: Label Studio can't reach the backend, or may not: private addresses are blocked by default.
    """
    url = backend.url.rstrip("/")
    fields: Json = {"project": project, "url": url, "title": "shoal", "is_interactive": False}
    if backend.user:
        fields |= {"auth_method": "BASIC_AUTH", "basic_auth_user": backend.user, "basic_auth_pass": backend.password}
    what = f"connect project {project} with the backend {url}"
    known = [one for one in server.listed(ML, project, what) if one["url"].rstrip("/") == url]
    if known:
        server.ask("PATCH", f"{ML}{known[0]['id']}", what, fields)
    else:
        server.ask("POST", ML, what, fields)
    _webhook(server, project, f"{url}/webhook", backend)


def _webhook(server: Server, project: int, url: str, backend: BackendLogin) -> None:
    fields: Json = {
        "project": project, "url": url, "send_payload": True, "send_for_all_actions": False, "is_active": True,
        "headers": backend.headers, "actions": list(ACTIONS),
    }  # fmt: skip
    what = f"set the webhook {url} of project {project}"
    known = [hook for hook in server.listed(WEBHOOKS, project, what) if hook["url"] == url]
    if known:
        server.ask("PATCH", f"{WEBHOOKS}{known[0]['id']}/", what, fields)
    else:
        server.ask("POST", WEBHOOKS, what, fields)
