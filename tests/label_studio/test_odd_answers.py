"""Whatever answers where Label Studio should: each call is one sentence, or what was asked for."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from shoal_ls.client import Server
from shoal_ls.errors import ServerError

CALLS: dict[str, Callable[[Server], object]] = {
    "version": lambda server: server.version(),
    "me": lambda server: server.me,
    "users": lambda server: server.users(),
    "projects": lambda server: list(server.projects()),
    "project": lambda server: server.project(3),
    "create_project": lambda server: server.create_project({"title": "x"}),
    "update_project": lambda server: server.update_project(3, {"title": "x"}),
    "tasks": lambda server: list(server.tasks(3)),
    "task_list": lambda server: list(server.task_list(3)),
    "first_tasks": lambda server: list(server.first_tasks(3)),
    "annotations": lambda server: server.annotations(3),
    "annotation": lambda server: server.annotation(3),
    "import_tasks": lambda server: server.import_tasks(3, [{"data": {}}]),
    "import_predictions": lambda server: server.import_predictions(3, [{"task": 1}]),
    "update_task": lambda server: server.update_task(3, {}),
    "listed": lambda server: server.listed("/api/webhooks/", 3, "list the webhooks of project 3"),
}
WORDS = ["id", "results", "tasks", "count", "total", "release", "task_ids", "task_count", "email", "title", "label_config"]
VALUES = some.recursive(
    some.none() | some.booleans() | some.integers(-2, 999) | some.text(max_size=4),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from(WORDS), inner, max_size=4),
    max_leaves=8,
)


class Saying(ThreadingHTTPServer):
    """Says one thing, whatever it is asked."""

    body = b""


class Says(BaseHTTPRequestHandler):
    """Answers every request alike."""

    protocol_version = "HTTP/1.1"  # one connection for all of them
    wbufsize = -1  # head and body in one packet

    def do_GET(self) -> None:
        """Answer."""
        assert isinstance(self.server, Saying)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    do_POST = do_PATCH = do_GET  # noqa: N815  (names of the standard library)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


Asked = Callable[[str, str], object]


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    """What a call makes of an answer: `asked("users", "[]")`."""
    with Saying(("127.0.0.1", 0), Says) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        with Server.connect(f"http://127.0.0.1:{server.server_port}", token="x") as client:

            def ask(name: str, body: str) -> object:
                server.body = body.encode()
                client.__dict__.pop("me", None)  # asked once
                return CALLS[name](client)

            yield ask
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "body", ["{}", "[3]", '"welcome"', "7", "true", "null", '{"results": 4}', '[{"id": "1"}]', "[" * 9999]
)
@pytest.mark.parametrize("name", ["version", "me", "users", "projects", "project", "tasks", "first_tasks", "annotation"])
def test_other_json_is_told(asked: Asked, name: str, body: str) -> None:
    with pytest.raises(ServerError, match=r"did not answer as Label Studio does when asked to .*; is that its address\?$"):
        asked(name, body)


@settings(max_examples=300)
@given(name=some.sampled_from(sorted(CALLS)), value=VALUES)
def test_no_answer_makes_a_call_fail_otherwise(asked: Asked, name: str, value: Any) -> None:
    with suppress(ServerError):
        asked(name, json.dumps(value))


def test_right_answers_are_taken(asked: Asked) -> None:
    users = [{"id": 1, "email": "ann@example.org"}, {"id": 2, "username": "bob"}, {"id": 3}]
    assert asked("users", json.dumps(users)) == {1: "ann@example.org", 2: "bob", 3: "user:3"}
    project = {"id": 3, "title": "birds", "label_config": "<View/>", "model_version": None}
    assert asked("project", json.dumps(project)) == project
