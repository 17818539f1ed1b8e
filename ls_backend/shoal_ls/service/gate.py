"""What every request passes: who may ask, how large a body may be, what is logged and counted of it."""

import logging
import time
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from shoal_ls.service.auth import CHALLENGE, Credentials
from shoal_ls.service.metrics import Metrics

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 32 * 2**20
"""Bytes of a request; Label Studio sends at most 5,000 annotations at once."""
MAX_PREDICT = 256 * 2**20
"""The same of `/predict`: all tasks of a project come at once, and those of 10,000 clusters have 100 MB."""

OPEN = ("/", "/health")
SIGNED = "/pictures/"
KNOWN = ("/", "/health", "/setup", "/predict", "/webhook", "/versions", "/metrics")

log = logging.getLogger("shoal_ls.requests")


class TooLarge(Exception):  # noqa: N818  (an outcome: the body is)
    """A body that is not read to its end."""


class Gate:
    """Middleware: asks for credentials, times, counts and logs. It never logs queries, headers or bodies."""

    def __init__(self, app: "ASGIApp", credentials: Credentials | None, metrics: Metrics) -> None:
        """Take what lies behind it."""
        self._app, self._credentials, self._metrics = app, credentials, metrics

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Let a request through, or answer 401 or 403."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noting(message: "Message") -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if _from_a_page(scope):
                refusal = {"error": "pages in a browser may not tell the backend anything; Label Studio's server does"}
                await JSONResponse(refusal, 403)(scope, receive, noting)
            elif self._allowed(scope):
                await self._app(scope, receive, noting)
            else:
                refusal = {"error": "name and password are wrong or missing; the backend wants Basic authentication"}
                await JSONResponse(refusal, 401, {"WWW-Authenticate": CHALLENGE})(scope, receive, noting)
        finally:
            self._note(scope, status, time.perf_counter() - began)

    def _allowed(self, scope: "Scope") -> bool:
        path = scope["path"]
        if self._credentials is None or path in OPEN or path.startswith(SIGNED):
            return True
        return self._credentials.allow(Headers(scope=scope).get("authorization"))

    def _note(self, scope: "Scope", status: int, seconds: float) -> None:
        path = scope["path"]
        path = path if path in KNOWN else SIGNED if path.startswith(SIGNED) else "other"
        self._metrics.requests.labels(path, str(status)).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        facts = {"method": scope["method"], "path": path, "status": status, "ms": round(seconds * 1000, 1)}
        log.log(logging.DEBUG if path in OPEN else logging.INFO, "request", extra=facts)


def _from_a_page(scope: "Scope") -> bool:
    """Tell whether a page in a browser sends this: any page could, to a backend on the same machine without a password."""
    return scope["method"] not in ("GET", "HEAD") and "origin" in Headers(scope=scope)


async def body_of(request: "Request", most: int = MAX_BODY) -> bytes:
    """Return a request's body.

    Raises:
        TooLarge: it has more than `most` bytes; the rest is not read.
    """
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise TooLarge
    return bytes(data)
