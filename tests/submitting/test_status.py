"""How runs are getting on: signs of life, and their absence."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.records import RunRecord
from shoal.runner import Silent
from shoal.runner.heartbeat import EVERY, HEARTBEAT, Beating, Heartbeat, beating, job_name
from shoal.store import Folder, Store
from shoal.watching import MISSED, standings

from ..conftest import Shoal

pytestmark = pytest.mark.processes

NOW = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC)
Make = Callable[..., RunRecord]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "out", create=True)


@pytest.fixture
def make(store: Store) -> Make:
    """Write a run's record, and its sign of life of some seconds ago."""

    def made(name: str, status: str = "running", ago: float | None = None, **beat: object) -> RunRecord:
        record = RunRecord(
            id=name, pipeline="p", source="s3://b/in", started=name, status=status, process="elsewhere:1", job="shoal-1"
        )  # type: ignore[arg-type]
        (store.runs / name).write_json("run.json", record.model_dump(mode="json"))
        if ago is not None:
            at = (NOW - timedelta(seconds=ago)).isoformat(timespec="seconds")
            (store.runs / name).write_json(HEARTBEAT, {"at": at, "every": EVERY, **beat})
        return record

    return made


def test_a_run_runs_while_it_gives_signs_of_life(store: Store, make: Make) -> None:
    make("1", ago=EVERY * (MISSED - 1), step="embed", total=100, done=25, seconds=5.0)
    make("2", ago=EVERY * (MISSED + 1), step="embed", total=100, done=25, seconds=5.0)
    make("3", "failed", ago=3)
    make("4")
    found = standings(store, NOW)
    assert [standing.state for standing in found] == ["running", "silent", "failed", "running"]
    assert found[0].heartbeat is not None
    assert (found[0].heartbeat.rate, found[0].heartbeat.left) == (5.0, 15.0)


def test_a_damaged_sign_is_no_sign(store: Store, make: Make) -> None:
    for name, text in {"1": b"{", "2": b"[]", "3": b'{"at": "yesterday"}', "4": b'{"at": "2026-01-01T00:00:00"}'}.items():
        make(name)
        (store.runs / name).write(HEARTBEAT, text)
    assert {standing.state for standing in standings(store, NOW)} == {"running"}


def test_the_command_tells_both_ways(store: Store, make: Make, shoal: Shoal) -> None:
    make("1", ago=1, step="embed", total=100, done=25, seconds=5.0)
    where = str(store.root.uri)
    (seen,) = json.loads(shoal("status", where, "--json").stdout)
    assert {"step": "embed", "done": 25, "per_second": 5.0, "seconds_left": 15.0, "job": "shoal-1"}.items() <= seen.items()
    told = shoal("status", where, env={"COLUMNS": "160"})
    assert "no sign of life" in told.stderr
    assert "embed" in told.stdout


def test_the_last_runs_are_read_and_no_others(store: Store, make: Make, shoal: Shoal) -> None:
    """A bucket of a thousand runs is asked for ten; what lies damaged far back is no matter of today."""
    (store.runs / "00").write("run.json", b"{}")
    for number in range(10, 22):
        make(str(number), "failed")
    assert [standing.record.id for standing in standings(store, NOW, most=3)] == ["19", "20", "21"]
    assert [seen["id"] for seen in json.loads(shoal("status", store.root.uri, "--json").stdout)] == list(
        map(str, range(12, 22))
    )
    assert "is damaged" in shoal("status", store.root.uri, "--all", code=1).stderr


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["start", "advance", "finish"])), max_size=20))
def test_what_is_heard_is_what_is_told(heard: list[tuple[str, str]]) -> None:
    """Whatever order steps come in, the sign of life counts those under way and nothing else."""
    under_way: dict[str, int] = {}
    progress = Beating(Folder("/nowhere"), Silent())
    for step, what in heard:
        if what == "start":
            progress.start(step, 10)
            under_way[step] = 0
        elif what == "advance":
            progress.advance(step, 3)
            under_way |= {step: under_way[step] + 3} if step in under_way else {}
        else:
            progress.finish(step, "")
            under_way.pop(step, None)
    assert {step: done for step, (_, done, _) in progress._steps.items()} == under_way


def test_signs_come_while_a_step_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.runner.heartbeat.EVERY", 0.02)
    folder = Folder(str(tmp_path))
    with beating(folder, Silent()) as progress:
        progress.start("embed", 10)
        progress.advance("embed", 4)
        until = time.monotonic() + 30
        while (seen := Heartbeat.model_validate(folder.read_json(HEARTBEAT))).step != "embed":
            assert time.monotonic() < until
        assert (seen.total, seen.done) == (10, 4)
        (tmp_path / HEARTBEAT).unlink()
        while not folder.exists(HEARTBEAT):
            assert time.monotonic() < until


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"metadata": null}', "no json"])
def test_outside_of_a_job_there_is_no_job(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", text)
    assert job_name() == ""
