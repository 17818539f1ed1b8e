"""Polling a real Label Studio: what reviewers said arrives once, is edited, taken back, and survives what people remove."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import shoal
from shoal.decisions import Decisions, Surface
from shoal.runner import Silent
from shoal_ls.annotations import read_annotation
from shoal_ls.client import Server
from shoal_ls.sync import Synced, sync
from shoal_ls.syncing import Round, fetch, repeat
from tests.label_studio.server import EMAIL, LabelStudio
from tests.ports import free_port
from tests.reviewing.conftest import BLUE, RED, _made, host, image, members, run  # noqa: F401  (fixtures)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CONFIG = """<View>
  <Text name="ctx" value="$context"/>
  <Choices name="verdict" toName="ctx"><Choice value="accept"/><Choice value="edit"/></Choices>
  <TextArea name="cluster_label" toName="ctx"/>
  <List name="imgs" value="$items"/>
  <Ranker name="assign" toName="imgs">
    <Bucket name="keep" default="true"/><Bucket name="alt1"/><Bucket name="alt2"/><Bucket name="new"/><Bucket name="noise"/>
  </Ranker>
</View>"""


@dataclass
class Review:
    """A project in which the clusters of a run are reviewed."""

    run: shoal.Run
    server: Server
    studio: LabelStudio
    surface: Surface
    tasks: dict[str, int]
    token: Path
    drafts: list[dict[str, Any]]

    @property
    def decisions(self) -> Decisions:
        return Decisions.of(self.run.store)

    def sync(self) -> Synced:
        return sync(self.run, self.server, self.decisions)

    def apply(self, policy: str = "latest") -> Round:
        return fetch(self.run, policy, True, str(self.token), Silent())  # type: ignore[arg-type]

    def move(self, *names: str, task: str = f"cluster:{RED}", **more: Any) -> int:
        """Submit that pictures of a cluster go to A and the others stay."""
        made = self.studio.call("POST", f"/api/tasks/{self.tasks[task]}/annotations/", json=self.said(*names) | more)
        assert made.status_code == 201, made.text
        return int(made.json()["id"])

    def edit(self, annotation: int, *names: str) -> None:
        assert self.studio.call("PATCH", f"/api/annotations/{annotation}/", json=self.said(*names)).status_code == 200

    def said(self, *names: str) -> dict[str, Any]:
        moved = [image(self.run, name) for name in names]
        kept = [image(self.run, name) for name in members(self.run.look(0))[RED] if name not in names]
        verdict = {"from_name": "verdict", "to_name": "ctx", "type": "choices", "value": {"choices": ["edit"]}}
        ranker = {"ranker": {"keep": kept, "alt1": moved, "alt2": [], "new": [], "noise": []}}
        return {"result": [verdict, {"from_name": "assign", "to_name": "imgs", "type": "ranker", "value": ranker}]}


@pytest.fixture
def review(run: shoal.Run, server: Server, label_studio: LabelStudio, tmp_path: Path) -> Review:  # noqa: F811
    project = server.create_project({"title": "Clusters", "label_config": CONFIG})
    surface = Surface(key=f"s{project['id']}", run=run.id, kind="clusters", place=server.url, remote=str(project["id"]))
    Decisions.of(run.store).add_surface(surface)
    drafts = []
    for cluster, other in ((RED, BLUE), (BLUE, RED)):
        names = {"shoal_task": f"cluster:{cluster}"}
        items = [{"id": image(run, name), "html": name} for name in members(run)[cluster]]
        data = {"shoal_surface": surface.key, "shoal_run": run.id, "cluster": cluster, "label": "", "alt1": other}
        drafts.append({"data": {**data, **names, "context": "x", "items": items}, "meta": names})
    numbers = server.import_tasks(project["id"], drafts)
    token = tmp_path / "token"
    token.write_text(label_studio.token)
    tasks = dict(zip((f"cluster:{RED}", f"cluster:{BLUE}"), numbers, strict=True))
    return Review(run, server, label_studio, surface, tasks, token, drafts)


def test_answers_arrive_once_are_edited_and_taken_back(review: Review) -> None:
    annotation = review.move("red0")
    first = review.apply()
    assert (first.synced.read, first.synced.new) == (1, 1)
    assert "red0" in members(review.run.look())[BLUE]
    again = review.apply()
    assert (again.synced.new, again.synced.deleted) == (0, 0)
    assert again.made
    assert again.made.version is None
    review.edit(annotation, "red1")
    assert review.apply().synced.new == 1
    assert {"red1"} == set(members(review.run.look())[BLUE]) - set(members(review.run.look(0))[BLUE])
    assert review.studio.call("DELETE", f"/api/annotations/{annotation}/").status_code == 204
    assert review.apply().synced.deleted == 1
    assert members(review.run.look()) == members(review.run.look(0))
    assert review.apply().synced.facts() == Synced().facts()
    (revision, *_) = review.decisions.revisions(review.run.id)
    assert revision.who == EMAIL


def test_what_a_webhook_brought_is_no_news_for_polling(review: Review) -> None:
    with _receiver() as (url, heard):
        asked = {"url": url, "project": int(review.surface.remote), "send_payload": True, "send_for_all_actions": True}
        assert review.studio.call("POST", "/api/webhooks/", json=asked).status_code == 201
        annotation = review.move("red0")
        review.edit(annotation, "red1")
        _until(lambda: len(heard) == 2)
    answers = [read_annotation(said["task"]["data"], said["annotation"]) for said in heard]
    assert review.decisions.record(answer for answer in answers if answer) == 2
    synced = review.sync()
    assert (synced.read, synced.new, synced.deleted) == (1, 0, 0)


def test_several_people_are_settled_by_the_policy(review: Review) -> None:
    made = review.studio.call("POST", "/api/users/", json={"email": f"{review.surface.key}@example.com", "username": "bob"})
    assert made.status_code == 201, made.text
    review.move("red0")
    review.move("red1", completed_by=made.json()["id"])
    asked = review.apply("ask")
    assert asked.made
    assert {one.subject for one in asked.made.unsettled} == {f"image:{image(review.run, name)}" for name in ("red0", "red1")}
    assert len({answer.who for answer in review.decisions.answers(review.run.id)}) == 2
    latest = review.apply("latest")
    assert latest.made
    assert latest.made.unsettled == ()
    assert "red1" in members(review.run.look())[BLUE]


def test_a_removed_task_takes_nothing_back(review: Review) -> None:
    review.move("red0")
    review.apply()
    assert review.studio.call("DELETE", f"/api/tasks/{review.tasks[f'cluster:{RED}']}/").status_code == 204
    done = review.apply()
    assert done.synced.deleted == 0
    assert done.synced.kept == [
        f"task cluster:{RED} was removed from project {review.surface.remote}; what {EMAIL} decided there stays"
    ]
    assert "red0" in members(review.run.look())[BLUE]
    review.server.import_tasks(int(review.surface.remote), [review.drafts[0]])
    again = review.apply()
    assert (again.synced.deleted, again.synced.kept) == (0, done.synced.kept)  # it is another task, though of the same name


def test_a_deleted_project_takes_nothing_back(review: Review) -> None:
    review.move("red0")
    review.apply()
    assert review.studio.call("DELETE", f"/api/projects/{review.surface.remote}/").status_code == 204
    done = review.apply()
    (sentence,) = done.synced.gone
    assert "stays" in sentence
    assert "shoal review open" in sentence
    assert (done.synced.deleted, len(review.decisions.answers(review.run.id))) == (0, 1)
    anew = review.server.create_project({"title": "Clusters", "label_config": CONFIG})["id"]
    review.decisions.add_surface(review.surface.model_copy(update={"key": f"s{anew}", "remote": str(anew)}))
    assert review.apply().synced.gone == []
    assert len(review.decisions.answers(review.run.id)) == 1


def test_a_server_that_is_down_takes_nothing_back(review: Review) -> None:
    review.move("red0")
    review.sync()
    moved = review.surface.model_copy(update={"place": f"http://127.0.0.1:{free_port()}"})
    review.decisions.add_surface(moved)
    done = review.apply()
    (sentence,) = done.synced.gone
    assert "nothing answers at" in sentence
    assert len(review.decisions.answers(review.run.id)) == 1
    assert done.made
    assert done.made.version  # what arrived before is applied all the same


def test_task_data_that_were_edited_by_hand_lose_nothing(review: Review) -> None:
    review.move("red0")
    assert review.sync().new == 1
    task = review.tasks[f"cluster:{RED}"]
    data = review.studio.call("GET", f"/api/tasks/{task}/").json()["data"]
    for edited in ({**data, "shoal_run": "another", "shoal_surface": "x"}, {**data, "shoal_task": "moon"}):
        assert review.studio.call("PATCH", f"/api/tasks/{task}/", json={"data": edited}).status_code == 200
        synced = review.sync()
        assert (synced.new, synced.deleted) == (0, 0)
        assert bool(synced.unreadable) == (edited["shoal_task"] == "moon")
    assert [answer.run for answer in review.decisions.answers(review.run.id)] == [review.run.id]


def test_a_skipped_task_is_read_and_changes_nothing(review: Review) -> None:
    review.move("red0", was_cancelled=True)
    done = review.apply()
    assert (done.synced.read, done.synced.new) == (1, 1)
    assert done.made
    assert done.made.version is None


def test_more_tasks_than_a_page_are_read(review: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal_ls.client.PAGE", 1)
    annotations = [review.move("red0"), review.move("red1"), review.move(task=f"cluster:{BLUE}")]
    assert review.sync().new == len(annotations)


def test_the_command_follows_until_it_is_stopped(review: Review) -> None:
    out = str(review.run.store.root.uri)
    environment = {**os.environ, "LABEL_STUDIO_API_KEY": review.studio.token, "SHOAL_MLFLOW": "off", "PYTHONUNBUFFERED": "1"}
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # who tests in the background ignores it
    )
    command = [sys.executable, "-c", f"{code}; from shoal.cli import main; main()", "review", "sync", out, "--follow", "0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout
            assert process.stdout.readline().startswith("0 annotations read")
            review.move("red0")
            heard = any("1 new or edited" in line for line in process.stdout)  # a line a round, until it is stopped
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert heard
    assert process.returncode == 0
    assert "the report can't be written" in errors  # the stages of the run are unknown there; rounds go on
    assert "Traceback" not in errors


def test_the_command_says_what_came_as_json_and_fails_where_a_project_is_gone(review: Review, shoal: Any) -> None:
    review.move("red0")
    out, token = review.run.store.root.uri, {"LABEL_STUDIO_API_KEY": review.studio.token}
    said = json.loads(shoal("review", "sync", out, "--json", env=token).stdout)
    assert (said["new"], said["version"], said["gone"]) == (1, 1, [])
    refused = shoal("review", "sync", out, env={"LABEL_STUDIO_API_KEY": "0" * 40}, code=1)
    assert "does not take the token" in refused.stdout
    assert "0" * 40 not in refused.stdout + refused.stderr


def test_rounds_tell_only_what_is_news() -> None:
    rounds = iter([Synced(), Synced(new=1), Synced(), Synced(gone=["down"]), Synced(gone=["down"])])
    told: list[Round] = []
    left = [1, 2, 3, 4]

    def wait(_: float) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()

    repeat(lambda: Round("r", next(rounds), None), 0, told.append, wait)
    assert [(done.synced.new, done.synced.gone) for done in told] == [(0, []), (1, []), (0, ["down"])]


class _Receiver(BaseHTTPRequestHandler):
    heard: list[Any] = []

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.heard.append(said)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def _receiver() -> Iterator[tuple[str, list[Any]]]:
    """A server that hears webhooks."""
    _Receiver.heard = []
    receiver = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    thread = threading.Thread(target=receiver.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{receiver.server_port}/", _Receiver.heard
    receiver.shutdown()
    thread.join()
    receiver.server_close()


def _until(done: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.05)
    assert done()
