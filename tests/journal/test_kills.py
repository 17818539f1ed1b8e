"""Organise and undo, killed with SIGKILL at 100 points and more: no file is lost, none is half there, going on ends well."""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal import journal

from .sets import Entry, folders, make_pairs, make_set, snapshot

pytestmark = pytest.mark.processes

MODES = ("copy", "move", "hardlink")


class Zygote:
    """The process that forks the ones to be killed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(
        self, act: str, base: Path, mode: str = "copy", *, kill_at: int = 0, kill_after_ms: float = 0
    ) -> tuple[int, int]:
        order = {
            "act": act, "root": str(base / "out"), "plan": str(base / "plan.parquet"), "mode": mode, "kill_at": kill_at,
            "kill_after_ms": kill_after_ms, "batch": 7,
        }  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(order), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        return answer["status"], answer["steps"]

    def close(self) -> None:
        self.process.communicate(timeout=20)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    process = Zygote()
    yield process
    process.close()


@pytest.fixture
def memory_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a file system in memory where there is one: a kill leaves the same there, and no sync waits."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


Maker = Callable[[Path], pa.Table]


class Case:
    """A fresh set in a folder, with what it looked like and what it is to look like."""

    def __init__(self, base: Path, make: Maker = make_set) -> None:
        self.base = base
        shutil.rmtree(base, ignore_errors=True)
        self.plan = make(base)
        pq.write_table(self.plan, base / "plan.parquet")
        self.before = self.look()
        self.folders = folders(base)

    def look(self) -> dict[str, Entry]:
        found = snapshot(self.base)
        del found["plan.parquet"]
        return found

    def check_nothing_lost(self) -> None:
        """Hold the promise at any moment: each file is whole at its old or at a new place, others' files are untouched."""
        now = self.look()
        known = {entry.sha256 for entry in self.before.values()}
        published = {path: entry for path, entry in now.items() if not path.endswith(".part")}
        assert {entry.sha256 for entry in published.values()} == known
        assert all(now[path] == entry for path, entry in self.before.items() if path.startswith("out/"))
        assert all(self.before[path] == entry for path, entry in now.items() if path in self.before)

    def check_undone(self) -> None:
        assert self.look() == self.before
        assert folders(self.base) == self.folders
        assert journal.undo(self.base / "out") is None
        assert journal.resume(self.base / "out") is None
        assert self.look() == self.before


def reference(base: Path, mode: journal.Mode, make: Maker = make_set) -> tuple[dict[str, Entry], pa.Table]:
    case = Case(base, make)
    receipts = journal.organize(case.plan, base / "out", mode)
    assert set(receipts.counts) <= {"done", "present"}
    return case.look(), receipts.table


def kill_forward(zygote: Zygote, tmp_path: Path, mode: journal.Mode, count: int, seed: int, make: Maker = make_set) -> None:
    wanted, _ = reference(tmp_path / "reference", mode, make)
    case = Case(tmp_path / "set", make)
    status, steps = zygote("organize", case.base, mode)
    assert (status, case.look()) == (0, wanted)
    chance = random.Random(seed)
    for point in sorted(chance.sample(range(1, steps + 1), count)):
        case = Case(tmp_path / "set", make)
        assert zygote("organize", case.base, mode, kill_at=point)[0] == -9
        case.check_nothing_lost()
        again = chance.randrange(1, steps)  # the resume is killed too, where it takes that many steps
        assert zygote("resume", case.base, kill_at=again)[0] in (-9, 0)
        case.check_nothing_lost()
        if point % 2:
            journal.resume(case.base / "out")
        receipts = journal.organize(case.plan, case.base / "out", mode)
        assert case.look() == wanted, f"killed at {point}, then at {again}"
        assert "failed" not in receipts.counts
        assert journal.resume(case.base / "out") is None
        assert case.look() == wanted
        while journal.undo(case.base / "out"):
            case.check_nothing_lost()
        case.check_undone()


def kill_back(zygote: Zygote, tmp_path: Path, mode: journal.Mode, count: int, seed: int, make: Maker = make_set) -> None:
    case = Case(tmp_path / "set", make)
    journal.organize(case.plan, case.base / "out", mode)
    status, steps = zygote("undo", case.base)
    assert status == 0
    case.check_undone()
    chance = random.Random(seed)
    for point in sorted(chance.sample(range(1, steps + 1), count)):
        case = Case(tmp_path / "set", make)
        journal.organize(case.plan, case.base / "out", mode)
        assert zygote("undo", case.base, kill_at=point)[0] == -9
        case.check_nothing_lost()
        assert zygote("resume", case.base, kill_at=chance.randrange(1, steps))[0] in (-9, 0)
        case.check_nothing_lost()
        (journal.undo if point % 2 else journal.resume)(case.base / "out")
        case.check_undone()


@pytest.mark.parametrize("mode", MODES)
def test_killed_at_a_few_points(zygote: Zygote, tmp_path: Path, mode: journal.Mode) -> None:
    kill_forward(zygote, tmp_path / "forward", mode, 2, seed=0)
    kill_back(zygote, tmp_path / "back", mode, 2, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_pairs_of_image_and_label_killed(zygote: Zygote, memory_disk: Path, mode: journal.Mode) -> None:
    """Of a YOLO set, too: images and labels in folders of their own, and a label that two images share."""
    wanted, receipts = reference(memory_disk / "pairs", mode, make_pairs)
    case = Case(memory_disk / "plan", make_pairs)
    places = dict(zip(receipts["source"].to_pylist(), receipts["target"].to_pylist(), strict=True))
    assert len(places) < receipts.num_rows  # the shared label
    stems = {path for path in wanted if path.startswith("out/cluster_000/")}
    assert any("/lab/" in path for path in stems)
    assert case.plan["missing"].null_count < case.plan.num_rows
    kill_forward(zygote, memory_disk / "forward", mode, 4, seed=4, make=make_pairs)
    kill_back(zygote, memory_disk / "back", mode, 3, seed=4, make=make_pairs)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_killed_at_many_points_forward(zygote: Zygote, memory_disk: Path, mode: journal.Mode) -> None:
    kill_forward(zygote, memory_disk, mode, 20, seed=1)


@pytest.mark.slow
def test_killed_at_every_point_on_the_way_back_of_a_move(zygote: Zygote, memory_disk: Path) -> None:
    """Moving back is where a file is at two places for a moment: no step of it may show one half restored."""
    case = Case(memory_disk / "set")
    journal.organize(case.plan, case.base / "out", "move")
    _, steps = zygote("undo", case.base)
    for point in range(1, steps + 1):
        case = Case(memory_disk / "set")
        journal.organize(case.plan, case.base / "out", "move")
        assert zygote("undo", case.base, kill_at=point)[0] == -9
        case.check_nothing_lost()
        journal.resume(case.base / "out")
        case.check_undone()


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_killed_at_many_points_back(zygote: Zygote, memory_disk: Path, mode: journal.Mode) -> None:
    kill_back(zygote, memory_disk, mode, 14, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_killed_at_any_time(zygote: Zygote, tmp_path: Path, mode: journal.Mode) -> None:
    """The clock, not a step, says when: also within a system call or an SQLite commit."""
    wanted, _ = reference(tmp_path / "reference", mode)
    chance = random.Random(3)
    for _ in range(10):
        case = Case(tmp_path / "set")
        zygote("organize", case.base, mode, kill_after_ms=chance.uniform(1, 60))
        case.check_nothing_lost()
        journal.organize(case.plan, case.base / "out", mode)
        assert case.look() == wanted
        zygote("undo", case.base, kill_after_ms=chance.uniform(1, 40))
        case.check_nothing_lost()
        while journal.undo(case.base / "out"):
            pass
        case.check_undone()
