"""The HTTP application: what Label Studio asks an ML backend, its webhook, figures, and pictures."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from shoal.errors import ShoalError, UsageError
from shoal_ls.service.auth import Credentials
from shoal_ls.service.backend import Backend
from shoal_ls.service.draining import Drain
from shoal_ls.service.events import events, parse
from shoal_ls.service.gate import MAX_PREDICT, Gate, TooLarge, body_of
from shoal_ls.service.inbox import Inbox, InboxFull
from shoal_ls.service.live import Busy
from shoal_ls.service.metrics import CONTENT_TYPE, Metrics
from shoal_ls.service.pictures import signed
from shoal_ls.thumbnails import LARGE

RETRY_SECONDS = "5"
CACHE = "private, max-age=86400, immutable"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What the application is made of.

    Attributes:
        backend: makes predictions.
        inbox: keeps what the webhook hears.
        metrics: figures.
        credentials: who may ask; None: everybody.
        key: that addresses of pictures are signed with.
        picture: returns the bytes of an image's picture, small or large; None where there is none.
    """

    backend: Backend
    inbox: Inbox
    metrics: Metrics = field(default_factory=Metrics)
    credentials: Credentials | None = None
    key: bytes = b""
    picture: Callable[[str, bool], bytes | None] = lambda image, large: None


def make_app(parts: Parts) -> FastAPI:
    """Return the application. Models are loaded when it starts, in the process that serves."""
    drain = Drain(parts.inbox, parts.backend.handle)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        drain.start()
        await run_in_threadpool(parts.backend.start)
        yield
        await run_in_threadpool(drain.stop)
        await run_in_threadpool(parts.backend.stop)
        await run_in_threadpool(parts.inbox.close)

    app = FastAPI(title="shoal ML backend", docs_url=None, redoc_url=None, openapi_url=None, lifespan=life)
    app.add_middleware(Gate, credentials=parts.credentials, metrics=parts.metrics)
    _add_errors(app)
    _add_model(app, parts)
    _add_webhook(app, parts, drain)
    _add_rest(app, parts)
    return app


def _add_errors(app: FastAPI) -> None:
    """Answer errors as JSON: Label Studio reads nothing else."""

    def answer(status: int, headers: dict[str, str] | None = None) -> Any:
        async def handle(_: Request, error: Exception) -> JSONResponse:
            return JSONResponse({"error": str(error)}, status, headers)

        return handle

    async def too_large(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "the request is too large for this backend"}, 413, {"Connection": "close"})

    async def bug(_: Request, error: Exception) -> JSONResponse:
        log.error("a request failed", exc_info=error)
        return JSONResponse({"error": f"the backend failed: {type(error).__name__}; its log says more"}, 500)

    app.add_exception_handler(UsageError, answer(400))
    app.add_exception_handler(Busy, answer(503, {"Retry-After": RETRY_SECONDS}))
    app.add_exception_handler(InboxFull, answer(503, {"Retry-After": RETRY_SECONDS}))
    app.add_exception_handler(ShoalError, answer(500))
    app.add_exception_handler(TooLarge, too_large)
    app.add_exception_handler(Exception, bug)


def _add_model(app: FastAPI, parts: Parts) -> None:
    backend = parts.backend

    @app.get("/")
    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "UP", "model_class": type(backend).__name__}

    @app.post("/setup")
    async def setup(request: Request) -> dict[str, str]:
        asked = parse(await body_of(request))
        return {"model_version": await run_in_threadpool(backend.setup, asked)}

    @app.api_route("/versions", methods=["GET", "POST"])
    async def versions() -> dict[str, list[str]]:
        return {"versions": backend.versions()}

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        asked = await run_in_threadpool(parse, await body_of(request, MAX_PREDICT))
        tasks = asked.get("tasks")
        if not isinstance(tasks, list):
            raise UsageError("the request has no list of `tasks`; send what Label Studio sends to /predict")
        results = await run_in_threadpool(backend.predict, tasks, asked)
        # Escaped to ASCII: what a task holds may be text that UTF-8 can't say, and would cost the others their predictions.
        return Response(json.dumps({"results": results}, allow_nan=False), media_type="application/json")


def _add_webhook(app: FastAPI, parts: Parts, drain: Drain) -> None:
    @app.post("/webhook")
    async def webhook(request: Request) -> dict[str, Any]:
        """Answer when what was said is on the disk: Label Studio waits a second and does not say it again."""
        heard = events(parse(await body_of(request)))
        count = parts.metrics.events
        if not heard:
            count.labels("ignored").inc()
            return {"status": "ignored", "reason": "it is about no annotation"}
        news = await asyncio.wrap_future(parts.inbox.put(heard))
        drain.ring()
        count.labels("new").inc(news)
        count.labels("known").inc(len(heard) - news)
        return {"status": "kept", "events": len(heard), "new": news}


def _add_rest(app: FastAPI, parts: Parts) -> None:
    @app.get("/metrics")
    async def metrics() -> Response:
        for state, number in (await run_in_threadpool(parts.inbox.counts)).items():
            parts.metrics.inbox.labels(state).set(number)
        return Response(parts.metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/pictures/{image}.jpg")
    async def picture(image: str, signature: str = "", size: str = "") -> Response:
        if not parts.key or not signed(image, signature, parts.key):
            return JSONResponse({"error": "the address of the picture is not one that was given out"}, 403)
        data = await run_in_threadpool(parts.picture, image, size == LARGE)
        if data is None:
            return JSONResponse({"error": "there is no picture of this image (any more)"}, 404)
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": CACHE})
