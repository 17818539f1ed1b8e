"""What `shoal doctor --label-studio URL` looks at, from outside: nothing is changed there that is not put back."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import urljoin

from shoal.decisions import Decisions, Surface
from shoal.errors import ShoalError
from shoal.records import Finding
from shoal.store import Store
from shoal.text import amount, plain
from shoal_ls.client import Server
from shoal_ls.connecting import ML, WEBHOOKS
from shoal_ls.errors import HOW_TO_LOG_IN, UNPROTECT, Blocked, Gone, ServerError
from shoal_ls.storages import LOCAL, document_root

CHECK = "label studio"
OLDEST = (1, 20)
"""Older servers may do; shoal is tested with 1.23."""

Json = dict[str, Any]


def look(url: str, out: str | None = None) -> Iterator[Finding]:
    """Yield findings about a server, and about the projects of a store there.

    Args:
        url: of the server; the token is taken from the environment.
        out: store; None looks at the server alone.
    """
    try:
        server = Server.connect(url, timeout=20)
    except ShoalError as error:
        yield Finding(CHECK, "bad", "can't be asked", str(error))
        return
    with server:
        try:
            yield _version(server)
            yield _token(server)
        except ServerError as error:
            yield Finding(CHECK, "bad", str(error), HOW_TO_LOG_IN if error.status == 401 else "mend that first")
            return
        if out is None:
            yield Finding("projects", "note", "not looked at", "name the store too: --out OUT --label-studio URL")
            return
        yield from _projects(server, out)


def _version(server: Server) -> Finding:
    found = server.version()
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if numbers < OLDEST:
        mend = "shoal is tested with 1.23: pip install -U label-studio"
        return Finding(CHECK, "note", f"version {found} at {server.url}", mend)
    return Finding(CHECK, "ok", f"version {found} at {server.url}")


def _token(server: Server) -> Finding:
    who = plain(str(server.me.get("email") or server.me.get("id")), 80)
    if server.personal:
        return Finding("token", "ok", f"personal access token of {who}")
    mend = "new servers have these off by default: make a personal access token under Account & Settings"
    return Finding("token", "note", f"legacy token of {who}", mend)


def _projects(server: Server, out: str) -> Iterator[Finding]:
    """Look at each project of a store that lies on the server."""
    decisions = Decisions.found(Store.open(out))
    found = [one for one in decisions.surfaces() if one.place == server.url] if decisions else []
    if not found:
        mend = f"shoal review open {out} --url {server.url}"
        yield Finding("projects", "note", "none of this store is on that server", mend)
    for surface in found[:1]:
        yield from _guarded(surface, lambda: [_protection(server, int(surface.remote))])  # noqa: B023  (called at once)
    for surface in found:
        yield from _guarded(surface, lambda: list(_Project(server, surface).look()))  # noqa: B023  (called at once)


def _protection(server: Server, project: int) -> Finding:
    """Tell whether the server blocks private addresses: it refuses a webhook to one. A webhook that it takes is removed."""
    what = f"try a webhook of project {project}"
    fields = {"project": project, "url": "http://127.0.0.1:9/shoal-doctor", "is_active": False}
    try:
        made = server.ask("POST", WEBHOOKS, what, fields)
    except Blocked:
        return Finding("protection", "note", "private addresses are blocked", UNPROTECT)
    server.ask("DELETE", f"{WEBHOOKS}{made['id']}/", what)
    return Finding("protection", "ok", "private addresses are allowed: right in networks that you trust")


def _guarded(surface: Surface, look: Callable[[], list[Finding]]) -> list[Finding]:
    """Return findings about a project; one that can't be looked at is a finding."""
    name = f"project {surface.remote}"
    try:
        return look()
    except Gone:
        return [Finding(name, "note", "was deleted there; its answers are kept", "`shoal review open` makes another one")]
    except ServerError as error:
        return [Finding(name, "bad", str(error), "mend that and look again")]


@dataclass(frozen=True)
class _Project:
    """A project of a store."""

    server: Server
    surface: Surface

    @property
    def number(self) -> int:
        """Its number on the server."""
        return int(self.surface.remote)

    def look(self) -> Iterator[Finding]:
        """Yield findings."""
        name = f"project {self.number}"
        project = self.server.project(self.number)
        yield Finding(name, "ok", f"{plain(project['title'], 60)}: {amount(project['task_number'], 'task')}")
        if project["model_version"] != self.surface.facts.get("model_version"):
            yield Finding(
                f"{name} order", "note", "its model version is not that of shoal's predictions: tasks come in any order",
                "give `shoal review open` again",
            )  # fmt: skip
        yield from self._storage(name)
        yield self._picture(name)
        yield from self._backend(name)
        yield from self._webhook(name)

    def _storage(self, name: str) -> Iterator[Finding]:
        rows = self.server.listed(LOCAL, self.number, f"list the storages of {name}")
        address = self._address()
        if "/data/local-files/" not in address:
            return
        root = document_root(self.server, self.number)
        if rows:
            over = f"a row over {plain(rows[0]['path'], 200)} (document root {plain(root, 200)})"
            yield Finding(f"{name} storage", "ok", over)
        else:
            yield Finding(f"{name} storage", "bad", "no row over the folder of pictures", "give `shoal review open` again")

    def _address(self) -> str:
        """Return the address of a picture of one task; empty where no task has any."""
        task = next(self.server.first_tasks(self.number), None)
        data: Json = task["data"] if task else {}
        items = data.get("items")
        if isinstance(items, list) and items:
            return unescape(str(items[0].get("html", "")).partition('src="')[2].partition('"')[0])
        return str(data.get("image") or "")

    def _picture(self, name: str) -> Finding:
        """Fetch one picture as a browser would."""
        address = self._address()
        if not address:
            return Finding(f"{name} picture", "note", "no task has a picture to try", "give `shoal review open` again")
        where = urljoin(f"{self.server.url}/", address)
        status, kind = self.server.fetch(where)
        if status == 200 and kind.startswith("image/"):
            return Finding(f"{name} picture", "ok", "one was fetched end to end")
        mend = {
            403: "start Label Studio with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true, or give `shoal review open` again",
            404: "the file is gone or no storage row covers it: give `shoal review open` again",
            0: "nothing answers there: start what serves the pictures (`shoal serve`)",
        }.get(status, "open that address in a browser that is logged in")
        return Finding(f"{name} picture", "bad", f"{plain(where, 120)} answered {status or 'nothing'} {kind}", mend)

    def _backend(self, name: str) -> Iterator[Finding]:
        for backend in self.server.listed(ML, self.number, f"list the backends of {name}"):
            where = plain(backend["url"], 120)
            if backend["state"] == "CO":
                yield Finding(f"{name} backend", "ok", f"Label Studio reaches {where}")
            else:
                said = plain(backend.get("error_message") or backend.get("readable_state") or "", 200)
                mend = f"start it with `shoal serve` and give `shoal review open --backend` again; {UNPROTECT}"
                yield Finding(f"{name} backend", "bad", f"Label Studio does not reach {where}: {said}", mend)

    def _webhook(self, name: str) -> Iterator[Finding]:
        hooks = self.server.listed(WEBHOOKS, self.number, f"list the webhooks of {name}")
        if not hooks:
            mend = "answers come by `shoal review sync`; for a backend: `shoal review open --backend URL`"
            yield Finding(f"{name} webhook", "note", "none: answers are not told of at once", mend)
        for hook in hooks:
            where = plain(hook["url"], 120)
            status, _ = self.server.fetch(hook["url"].removesuffix("/webhook") + "/health", anonymous=True)
            if not hook["is_active"]:
                yield Finding(
                    f"{name} webhook", "bad", f"{where} is switched off", "give `shoal review open --backend` again"
                )
            elif status != 200:
                mend = "start `shoal serve`; until then `shoal review sync` brings the answers"
                yield Finding(f"{name} webhook", "bad", f"{where} is not answered from here", mend)
            elif not hook["headers"]:
                mend = "if the backend wants a password: `shoal review open --backend` again with SHOAL_BACKEND_USER set"
                yield Finding(f"{name} webhook", "note", f"{where} is told without a password", mend)
            else:
                yield Finding(f"{name} webhook", "ok", where)
