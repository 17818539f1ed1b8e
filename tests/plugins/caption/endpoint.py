"""An OpenAI-compatible server on loopback that looks at the picture: it speaks real HTTP, and misbehaves when told to."""

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

Behave = Callable[["Handler", dict[str, Any], int], bool]
"""Is given the request and its number (from 1); answers itself and returns True, or leaves it to the model."""


class Server(ThreadingHTTPServer):
    """Counts what it is asked.

    Attributes:
        models: names that it lists; None: it has no such list.
        key: that it wants as bearer; None: any or none.
        behave: called before each answer.
        pause: seconds that the model thinks.
        asked: bodies of the requests; `listed`: how often the list of models was asked for.
        headers: of every request.
        most: how many requests were under way at once.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.models: list[str] | None = ["painter"]
        self.key: str | None = None
        self.behave: Behave | None = None
        self.pause = 0.0
        self.asked: list[dict[str, Any]] = []
        self.listed = 0
        self.headers: list[dict[str, str]] = []
        self.under_way = self.most = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no matter."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def send(self, body: bytes | str, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status: int, message: str, **headers: str) -> None:
        self.send(json.dumps({"error": {"message": message, "type": "invalid", "code": None}}), status, **headers)

    def say(self, content: Any, **more: Any) -> None:
        choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"} | more
        self.send(json.dumps({"id": "1", "object": "chat.completion", "choices": [choice]}))

    def hang_up(self) -> None:
        """Begin an answer and never end it."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"choices": [')
        self.wfile.flush()
        self.close_connection = True

    def _allowed(self) -> bool:
        with self.server.lock:
            self.server.headers.append(dict(self.headers.items()))
        wanted = self.server.key
        if wanted is not None and self.headers.get("Authorization") != f"Bearer {wanted}":
            self.refuse(401, f"Incorrect API key provided: {self.headers.get('Authorization')}")
            return False
        return True

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.listed += 1
        if not self._allowed():
            return
        if self.server.models is None or self.path != "/v1/models":
            self.send("<html>nothing here</html>", 404, "text/html")
            return
        self.send(json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in self.server.models]}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._allowed():
            return
        with self.server.lock:
            self.server.asked.append(body)
            number = len(self.server.asked)
            self.server.under_way += 1
            self.server.most = max(self.server.most, self.server.under_way)
        try:
            time.sleep(self.server.pause)
            if self.server.behave is None or not self.server.behave(self, body, number):
                self.say(seen(body))
        finally:
            with self.server.lock:
                self.server.under_way -= 1


def pixels(body: dict[str, Any]) -> "np.typing.NDArray[np.uint8] | None":
    """Return the picture of a request, None where it has none."""
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return None
    data = next(part["image_url"]["url"] for part in content if part["type"] == "image_url")
    assert data.startswith("data:image/jpeg;base64,")
    with Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))) as image:
        assert image.format == "JPEG"
        return np.asarray(image.convert("RGB"))


def seen(body: dict[str, Any]) -> str:
    """Return what the model says: the mean colour, or the prompt turned round."""
    picture = pixels(body)
    if picture is None:
        return str(body["messages"][-1]["content"])[::-1]
    red, green, blue = (round(float(part)) for part in picture.reshape(-1, 3).mean(axis=0))
    return f"A picture of mean colour {red} {green} {blue}."


def started() -> Server:
    """Return a server on a free port that answers until the process ends."""
    server = Server()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server on a free port."""
    server = started()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
