"""`/webhook`: what Label Studio says is on the disk before it is answered, once, and becomes answers of reviewers."""

import json
import sqlite3
import threading
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from shoal.catalogue import Run
from shoal.decisions import Answer, Decisions, Surface
from shoal.errors import StoreError
from shoal_ls.service import events as hooks
from shoal_ls.service import gate
from shoal_ls.service import inbox as inboxes
from shoal_ls.service.draining import Drain, recorder
from shoal_ls.service.events import Event, events
from shoal_ls.service.inbox import Inbox, InboxFull
from tests.label_studio.service.conftest import annotation_event, wait_until
from tests.label_studio.service.test_predict import JSON

AT = "2026-03-01T10:00:00.000000Z"


@pytest.fixture
def inbox(tmp_path: Path) -> Any:
    """An empty inbox."""
    made = Inbox(tmp_path / "inbox.db")
    yield made
    made.close()


def event(key: int, at: str = AT, **other: Any) -> Event:
    return Event(**{
        "action": "ANNOTATION_CREATED", "project": "7", "key": str(key), "at": at, "deleted": False, "payload": "{}",
    } | other)  # fmt: skip


def recorded(out: Path, run: Run) -> list[Answer]:
    return Decisions(f"sqlite:///{out}/decisions.db").answers(run.id)


def test_an_annotation_becomes_an_answer(client: TestClient, out: Path, run: Run) -> None:
    answer = client.post("/webhook", json=annotation_event(11, run))
    assert answer.json() == {"status": "kept", "events": 1, "new": 1}
    wait_until(lambda: len(recorded(out, run)) == 1)
    found = recorded(out, run)[0]
    assert (found.surface, found.key, found.task, found.who) == ("s1", "11", "cluster:0", "reviewer@example.com")
    assert [change.kind for change in found.changes] == ["keep", "rename"]
    assert found.changes[1].label == "name 11"


def test_an_event_is_known_by_annotation_and_time_of_change(client: TestClient, out: Path, run: Run) -> None:
    later = "2026-03-01T10:00:01.000000Z"
    sent = [
        annotation_event(1, run), annotation_event(1, run), annotation_event(2, run),
        annotation_event(1, run, later, action="ANNOTATION_UPDATED"), annotation_event(1, run, action="ANNOTATION_UPDATED"),
    ]  # fmt: skip
    assert [client.post("/webhook", json=each).json()["new"] for each in sent] == [1, 0, 1, 1, 0]
    wait_until(lambda: len(Decisions(f"sqlite:///{out}/decisions.db").revisions(run.id)) == 3)
    assert {answer.key: answer.at for answer in recorded(out, run)} == {
        "1": "2026-03-01T10:00:01.000Z", "2": "2026-03-01T10:00:00.000Z",
    }  # fmt: skip


def test_singular_and_plural_names_and_lists_are_taken() -> None:
    one, two = ({"id": number, "updated_at": AT, "task": number + 10} for number in (1, 2))
    tasks = [{"id": 12, "data": {"b": 1}}, {"id": 11, "data": {"a": 1}}]
    for action in ("ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_UPDATED"):
        found = events({"action": action, "annotation": [one, two], "task": tasks, "project": {"id": 7}})
        assert [(each.key, each.at, each.deleted, each.project) for each in found] == [
            ("1", AT, False, "7"), ("2", AT, False, "7"),
        ]  # fmt: skip
        assert [json.loads(each.payload)["task"]["data"] for each in found] == [{"a": 1}, {"b": 1}], "each with its own task"
    for action in ("ANNOTATION_DELETED", "ANNOTATIONS_DELETED"):
        for key in ("annotation", "annotations"):
            found = events({"action": action, key: [{"id": 1}, {"id": 2}], "project": {"id": 7}})
            assert [(each.key, each.at, each.deleted) for each in found] == [("1", "", True), ("2", "", True)]
    assert events({"action": "ANNOTATION_CREATED", "annotation": one, "task": tasks[1]})[0].key == "1"


@pytest.mark.parametrize(
    "payload",
    [
        {}, {"action": "ANNOTATION_CREATED"}, {"action": "PROJECT_UPDATED", "annotation": {"id": 1}}, {"action": None},
        {"annotation": {}}, {"annotation": {"id": True}}, {"annotation": {"id": -1}}, {"annotation": [[], 7, None]},
        {"action": ["ANNOTATION_CREATED"], "annotations": "x"}, {"action": "ANNOTATIONS_DELETED", "annotations": [{}]},
    ],
)  # fmt: skip
def test_every_key_is_optional_and_what_says_nothing_is_ignored(client: TestClient, payload: dict[str, Any]) -> None:
    answer = client.post("/webhook", json=payload)
    assert answer.status_code == 200
    assert answer.json()["status"] == "ignored"


def test_an_annotation_without_action_or_project_is_taken(client: TestClient, out: Path, run: Run) -> None:
    whole = annotation_event(5, run)
    assert client.post("/webhook", json={key: whole[key] for key in ("annotation", "task")}).json()["new"] == 1
    wait_until(lambda: len(recorded(out, run)) == 1)


def test_a_person_is_named_as_polling_names_them(client: TestClient, out: Path, run: Run) -> None:
    client.post("/webhook", json=annotation_event(1, run))
    wait_until(lambda: [answer.who for answer in recorded(out, run)] == ["reviewer@example.com"])


@pytest.mark.parametrize(("surface", "project"), [("made-up", 7), ("s1", 99), (["s1"], 7)])
def test_a_surface_that_nobody_opened_or_of_another_project_is_not_believed(
    inbox: Inbox, run: Run, surface: object, project: int
) -> None:
    said = annotation_event(1, run)
    said["task"]["data"]["shoal_surface"], said["project"] = surface, {"id": project}
    inbox.put(events(said)).result(10)
    Drain(inbox, recorder(Decisions.of(run.store))).once()
    assert inbox.counts() == {"new": 0, "recorded": 0, "left": 1}
    assert Decisions.of(run.store).answers(run.id) == []


def test_a_page_in_a_browser_is_refused(client: TestClient, run: Run) -> None:
    answer = client.post("/webhook", json=annotation_event(1, run), headers={"Origin": "https://elsewhere.example"})
    assert answer.status_code == 403
    assert "browser" in answer.json()["error"]
    assert client.post("/webhook", json=annotation_event(1, run)).json()["new"] == 1, "it was not kept before"


def test_passwords_of_a_project_are_not_kept_and_the_inbox_is_private(inbox: Inbox, tmp_path: Path, run: Run) -> None:
    said = annotation_event(1, run) | {"project": {"id": 7, "task_data_password": "hunter2", "label_config": "<View/>"}}
    (found,) = events(said)
    assert json.loads(found.payload)["project"] == {"id": 7, "label_config": "<View/>"}
    inbox.put([found]).result(10)
    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("inbox.db*")} == {0}


def test_a_webhook_that_would_fill_the_memory_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "MOST", 100_000)
    task = {"id": 1, "data": {"text": "x" * 10_000}}
    many = {"action": "ANNOTATIONS_CREATED", "annotations": [{"id": n, "task": 1} for n in range(20)], "task": task}
    answer = client.post("/webhook", json=many)
    assert answer.status_code == 400
    assert "too much" in answer.json()["error"]
    assert client.post("/webhook", json=many | {"annotations": [{"id": 1, "task": 1}]}).json()["new"] == 1


def test_a_request_that_goes_away_leaves_the_writer_at_work(inbox: Inbox) -> None:
    assert not inbox.put([event(1)]).cancel()
    assert inbox.put([event(2)]).result(10) == 1


@given(st.dictionaries(st.sampled_from(["action", "annotation", "annotations", "task", "tasks", "project"]), JSON))
def test_no_payload_raises(payload: dict[str, Any]) -> None:
    for found in events(payload):
        json.loads(found.payload)
        assert found.key or found.action == "START_TRAINING"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'"x"'])
def test_rubbish_is_refused_with_one_sentence(client: TestClient, body: bytes) -> None:
    answer = client.post("/webhook", content=body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


def test_a_body_beyond_the_limit_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate.body_of, "__defaults__", (10_000,))
    assert client.post("/webhook", content=b"x" * 10_001).status_code == 413
    assert client.post("/webhook", content=b"{" + b" " * 9_000 + b"}").status_code == 200


def test_what_is_taken_back_is_found_by_project_and_number(client: TestClient, out: Path, run: Run) -> None:
    decisions = Decisions.of(run.store)
    client.post("/webhook", json=annotation_event(1, run))
    client.post("/webhook", json=annotation_event(2, run))
    gone = {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 1}], "project": {"id": 7}}
    assert client.post("/webhook", json=gone).json()["new"] == 1
    assert client.post("/webhook", json=gone).json()["new"] == 0
    wait_until(lambda: [answer.key for answer in recorded(out, run)] == ["2"])
    last = [answer for answer in decisions.revisions(run.id) if answer.key == "1"][-1]
    assert (last.deleted, last.changes, last.task) == (True, (), "cluster:0")


@pytest.mark.parametrize("remotes", [(), ("8",), ("7", "7")], ids=["no surface", "another project", "two servers"])
def test_a_deletion_that_cannot_be_told_is_left_to_polling(
    inbox: Inbox, out: Path, run: Run, remotes: tuple[str, ...]
) -> None:
    decisions = Decisions.of(run.store)
    for place, remote in enumerate(remotes):
        decisions.add_surface(Surface(key=f"s{place}", run=run.id, kind="clusters", remote=remote))
    decisions.record([Answer(run=run.id, surface="s0", key="1", at="2026-01-01T00:00:00.000Z", task="cluster:0")])
    inbox.put([event(1, at="", deleted=True)]).result(10)
    assert Drain(inbox, recorder(decisions)).once() == 1
    assert inbox.counts() == {"new": 0, "recorded": 0, "left": 1}
    assert len(decisions.answers(run.id)) == 1


def test_an_annotation_made_and_taken_back_in_one_go_is_taken_back(inbox: Inbox, run: Run) -> None:
    decisions = Decisions.of(run.store)
    made = events(annotation_event(1, run, "2100-01-01T00:00:00Z"))  # the server's clock is ahead
    gone = events({"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 1}], "project": {"id": 7}})
    inbox.put([*made, *gone]).result(10)
    Drain(inbox, recorder(decisions)).once()
    assert decisions.answers(run.id) == []


def test_what_could_not_be_recorded_stays_and_is_recorded_later(inbox: Inbox, run: Run) -> None:
    decisions, failing = Decisions.of(run.store), True

    def handle(found: Any) -> Any:
        if failing:
            raise StoreError("the database is away")
        return recorder(decisions)(found)

    inbox.put(events(annotation_event(1, run))).result(10)
    drain = Drain(inbox, handle)
    with pytest.raises(StoreError):
        drain.once()
    assert inbox.counts()["new"] == 1
    failing = False
    drain.once()
    assert inbox.counts() == {"new": 0, "recorded": 1, "left": 0}
    assert len(decisions.answers(run.id)) == 1


def test_what_was_recorded_before_a_kill_is_not_recorded_twice(inbox: Inbox, run: Run) -> None:
    decisions = Decisions.of(run.store)
    inbox.put(events(annotation_event(1, run))).result(10)
    recorder(decisions)(inbox.waiting(10))  # killed here: the inbox was not told
    Drain(inbox, recorder(decisions)).once()
    assert len(decisions.revisions(run.id)) == 1


def test_an_inbox_is_found_again_as_it_was_left(tmp_path: Path) -> None:
    first = Inbox(tmp_path / "inbox.db")
    first.put([event(1), event(2)]).result(10)
    first.settle({1: "recorded"})
    first.close()
    second = Inbox(tmp_path / "inbox.db")
    assert [kept.event.key for kept in second.waiting(10)] == ["2"]
    assert second.put([event(1), event(2), event(3)]).result(10) == 1
    second.close()


def test_commits_are_on_the_disk_when_they_return(inbox: Inbox) -> None:
    with inbox._open() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_events_from_many_threads_are_kept_once_each(inbox: Inbox) -> None:
    def send(start: int) -> None:
        answers.extend(inbox.put([event(number)]) for number in range(start, start + 100))

    answers: list[Any] = []
    threads = [threading.Thread(target=send, args=(start,)) for start in (0, 50, 100, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait(answers, 30)
    assert sum(answer.result() for answer in answers) == 200
    assert [int(kept.event.key) for kept in inbox.waiting(1000)] != []
    assert len({kept.event.key for kept in inbox.waiting(1000)}) == 200


def test_deliveries_wait_for_the_disk_up_to_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inboxes, "WAITING", 3)
    inbox = Inbox(tmp_path / "inbox.db")
    lock = sqlite3.connect(tmp_path / "inbox.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")  # another process writes for long
    first = inbox.put([event(0)])
    wait_until(inbox._queue.empty)
    waiting = [inbox.put([event(number)]) for number in (1, 2, 3)]
    with pytest.raises(InboxFull, match="shoal review sync"):
        inbox.put([event(4)])
    lock.execute("ROLLBACK")
    lock.close()
    assert [answer.result(30) for answer in (first, *waiting)] == [1, 1, 1, 1]
    inbox.close()
