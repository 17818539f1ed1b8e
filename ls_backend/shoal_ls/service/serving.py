"""Puts the backend together from its options and serves it until it is stopped."""

import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shoal.decisions import Decisions
from shoal.errors import StoreError, UsageError
from shoal.host import Host
from shoal.store import Store
from shoal_ls.client import KEY, KEY_FILE, auth_of, find_token
from shoal_ls.service import STATE
from shoal_ls.service.app import Parts, make_app
from shoal_ls.service.auth import Credentials, check_open, credentials
from shoal_ls.service.backend import Backend, RunBackend
from shoal_ls.service.current import Current
from shoal_ls.service.fetching import Places
from shoal_ls.service.inbox import FILE as INBOX
from shoal_ls.service.inbox import Inbox
from shoal_ls.service.live import Live
from shoal_ls.service.logs import configure
from shoal_ls.service.metrics import Metrics
from shoal_ls.service.pictures import pictures_key
from shoal_ls.service.porting import ModelBackend, model_class
from shoal_ls.thumbnails import Pictures

if TYPE_CHECKING:
    from fastapi import FastAPI

DOCUMENT_ROOT = "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"
LIVE_REQUESTS = 16
"""Requests with images that the run has not seen, at once; the next is told to come again."""

BACKLOG = 2048
"""Connections that may wait to be taken."""

SECRETS = (
    KEY, "SHOAL_BACKEND_PASSWORD", "SHOAL_PICTURES_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
)  # fmt: skip
"""Environment variables whose values are cut out of logs."""


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How the backend is served.

    Attributes:
        out: the store; with `model`, a folder for the inbox.
        run: name of the run or its beginning; None follows the last that ended well.
        host, port: where it listens; port 0 takes a free one.
        state: folder for the inbox; None: in the store.
        model: `module:Class` of a ported model, instead of a run.
        label_studio: URL of the server that images may be fetched from.
        document_root: of Label Studio's local files.
        allow_hosts: other hosts that images may be fetched from.
        password_file: file with the password of Basic authentication.
    """

    out: str
    run: str | None = None
    host: str = "127.0.0.1"
    port: int = 9090
    state: Path | None = None
    model: str = ""
    label_studio: str = ""
    document_root: Path | None = None
    allow_hosts: tuple[str, ...] = ()
    password_file: Path | None = None


def serve(options: Options) -> None:
    """Serve until the process is told to stop.

    Raises:
        UsageError: an option is wrong, or the port is taken.
    """
    import uvicorn

    found = credentials(password_file=options.password_file)
    check_open(options.host, found)
    with listening(options.host, options.port) as place:
        app = application(options, found)
        configure(secrets(found))
        host, port = place.getsockname()[:2]
        log.info("serving", extra={"address": f"http://{host}:{port}", "password": "yes" if found else "no"})
        config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=10)
        uvicorn.Server(config).run(sockets=[place])


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UsageError: the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends without delay only on sockets that say they are TCP; on others an answer waits 40 ms for an ACK.
    place = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        place.bind((host, port))
        place.listen(BACKLOG)
        return place
    except OSError as error:
        place.close()
        why = error.strerror or error
        raise UsageError(f"port {port} of {host} can't be listened on ({why}); take another --port") from error


def application(options: Options, found: Credentials | None = None) -> "FastAPI":
    """Return the application that the options describe; nothing is loaded and no thread but the inbox's runs yet.

    Raises:
        UsageError: the store, the run or the model is not there.
    """
    metrics = Metrics()
    if options.model:
        state = options.state or Path(options.out)
        backend: Backend = ModelBackend(model_class(options.model), state, _places(options), metrics)
        return make_app(Parts(backend, Inbox(state / INBOX), metrics, found))
    store = Store.open(options.out)
    state = options.state or _state(store)
    backend = _run_backend(options, store, metrics)
    return make_app(Parts(backend, Inbox(state / INBOX), metrics, found, _key(store, state), Pictures(store.root).read))


def _key(store: Store, state: Path) -> bytes:
    """Return the key of pictures: that of the store, which `shoal review open` signs with; of `state` where it has none."""
    if store.root.local is None:
        return pictures_key(state)
    try:
        return pictures_key(store.root.local / STATE)
    except StoreError:  # it can't be written, so nothing was signed there
        return pictures_key(state)


def secrets(found: Credentials | None, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return what must never be logged."""
    return [environment.get(name, "") for name in SECRETS] + [_token(), found.password if found is not None else ""]


def _run_backend(options: Options, store: Store, metrics: Metrics) -> RunBackend:
    current = Current(store, Host(), options.run)
    live = Live(_places(options), requests=LIVE_REQUESTS, told=metrics.setups.inc)
    return RunBackend(current, live, Decisions.of(store), metrics)


def _places(options: Options) -> Places:
    root = options.document_root or (Path(os.environ[DOCUMENT_ROOT]) if os.environ.get(DOCUMENT_ROOT) else None)
    if root is not None and not root.is_dir():
        raise UsageError(f"the document root {root} is no folder; name the one that Label Studio serves local files from")
    url = options.label_studio.rstrip("/")
    token = _token()
    return Places(
        document_root=root.absolute() if root else None, server=url, auth=auth_of(url, token) if url and token else None,
        hosts=frozenset(host.lower() for host in options.allow_hosts),
    )  # fmt: skip


def _token() -> str:
    """Return the token for Label Studio, where there is one: images that it holds itself can't be had without."""
    return find_token() if os.environ.get(KEY) or os.environ.get(KEY_FILE) else ""


def _state(store: Store) -> Path:
    if store.root.local is None:
        raise StoreError(f"{store.root.uri} is no local folder and can't hold the inbox; name a folder with --state")
    return store.root.local / STATE
