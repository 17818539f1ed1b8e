"""A head that was just started: its job server listens, and refuses jobs until the agent of its node is up."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ray import __version__

from shoal.submitting import Cluster


class Starting(ThreadingHTTPServer):
    """Answers as Ray's job server does while it starts; `left` is how often it still refuses."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.left = 1


class _Handler(BaseHTTPRequestHandler):
    server: Starting

    def do_GET(self) -> None:
        self._answer(200, json.dumps({"version": "4", "ray_version": __version__, "ray_commit": "", "session_name": ""}))

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.left:
            self.server.left -= 1
            self._answer(
                500,
                "Traceback (most recent call last):\nRuntimeError: No available agent to submit job, please try again.",
            )
        else:
            self._answer(200, json.dumps({"job_id": sent["submission_id"], "submission_id": sent["submission_id"]}))

    def _answer(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def starting() -> Iterator[Starting]:
    with Starting() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_it_is_waited_for_and_that_is_told_once(starting: Starting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.submitting.cluster.time.sleep", lambda seconds: None)
    starting.left = 3
    told: list[str] = []
    cluster = Cluster(f"http://127.0.0.1:{starting.server_address[1]}")
    assert cluster.submit("true", {}, {}, "mine", told.append) == "mine"
    assert starting.left == 0
    (line,) = told
    assert "takes no jobs yet" in line
