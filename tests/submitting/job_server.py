"""Answers as Ray's job server does, with the troubles that a test wants: a real one has them when nobody can tell."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ray import __version__

from shoal.submitting import Cluster

SILENCE = 0
"""In place of a status: no answer until the test is over."""


class JobServer(ThreadingHTTPServer):
    """Knows one job.

    Attributes:
        job: what it tells of the job.
        log: all that the job printed.
        troubles: statuses of the next answers to `submit`, `job` and `log`; then all goes well.
        asked: how often each was asked for.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.job: dict[str, Any] = {
            "type": "SUBMISSION",
            "submission_id": "mine",
            "entrypoint": "true",
            "status": "SUCCEEDED",
        }
        self.log = "one\ntwo\n"
        self.troubles: dict[str, list[int]] = {"submit": [], "job": [], "log": []}
        self.asked = {"submit": 0, "job": 0, "log": 0}
        self.said = "Traceback (most recent call last):\nRuntimeError: the head has no time"
        self.over = threading.Event()

    @property
    def cluster(self) -> Cluster:
        return Cluster(f"http://127.0.0.1:{self.server_address[1]}")


class _Handler(BaseHTTPRequestHandler):
    server: JobServer

    def do_GET(self) -> None:
        if self.path == "/api/version":
            self._answer(200, json.dumps({"version": "4", "ray_version": __version__, "ray_commit": "", "session_name": ""}))
        elif self.path.endswith("/logs"):
            self._after_troubles("log", {"logs": self.server.log})
        else:
            self._after_troubles("job", self.server.job)

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._after_troubles("submit", {"job_id": sent["submission_id"], "submission_id": sent["submission_id"]})

    def _after_troubles(self, what: str, answer: dict[str, Any]) -> None:
        self.server.asked[what] += 1
        left = self.server.troubles[what]
        status = left.pop(0) if left else 200
        if status == SILENCE:
            self.server.over.wait(60)
        else:
            self._answer(status, json.dumps(answer) if status == 200 else self.server.said)

    def _answer(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[JobServer]:
    """Serve on a port of its own."""
    with JobServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()
