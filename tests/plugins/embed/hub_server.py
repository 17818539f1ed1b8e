"""A small server that speaks as much of the Hugging Face hub's protocol as a download needs."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Handler(BaseHTTPRequestHandler):
    """Serves the files of one model; every other model is missing, and `somebody/gated` asks for consent."""

    def __init__(self, model: str, folder: Path, *arguments: object) -> None:
        self.model, self.folder = model, folder
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.split("?")[0].strip("/")
        if path == "":
            return self._send(200, b"hub", body)
        if path.startswith("somebody/gated/"):
            return self._send(403, b"", body, {"X-Error-Code": "GatedRepo"})
        if not path.startswith(f"{self.model}/resolve/"):
            return self._send(404, b"", body, {"X-Error-Code": "RepoNotFound"})
        revision, name = path.removeprefix(f"{self.model}/resolve/").split("/", 1)
        if revision not in ("main", COMMIT):
            return self._send(404, b"", body, {"X-Error-Code": "RevisionNotFound"})
        file = self.folder / name
        if not file.is_file():
            return self._send(404, b"", body, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        data = file.read_bytes()
        return self._send(200, data, body, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT})

    def _send(self, status: int, data: bytes, body: bool, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def serve_hub(model: str, folder: Path) -> Iterator[str]:
    """Serve a folder as a model of the hub; yields the endpoint's address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, model, folder))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
