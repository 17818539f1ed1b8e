"""The pool itself, with small jobs: memory that runs out, nodes of unlike kinds, and chunks that are taken one by one."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from shoal.errors import StageError, StoreError
from shoal.runner import RunOptions
from shoal.runner.crew import DEPTH, LOSSES, Crew
from shoal.runner.executors import Executor
from shoal.runner.happened import Happened
from shoal.runner.jobs import pieces
from shoal.runner.placement import Placement
from shoal.runner.tabling import Placed, Tables
from shoal.runner.waiting import Patience

from .cluster import Bench, Nodes


@dataclass(frozen=True)
class Counting:
    """A job whose receipts are the chunks; its worker holds so many rows and no more."""

    holds: int = 1000
    hopeless: int = -1
    full: bool = False

    def worker(self) -> Callable[[pa.Table], pa.Table]:
        def work(chunk: pa.Table) -> pa.Table:
            if self.full:
                raise StoreError("the disk is full")
            if chunk.num_rows > self.holds or self.hopeless in chunk["n"].to_pylist():
                raise MemoryError
            return chunk

        return work

    def split(self, chunk: pa.Table, parts: int) -> list[pa.Table]:
        return pieces(chunk, parts)

    def reject(self, chunk: pa.Table, reason: str, lasting: bool) -> pa.Table:
        assert not lasting, "memory and nodes may be there another time"
        return pa.table({"n": [-number for number in chunk["n"].to_pylist()]})


@dataclass(frozen=True)
class Taking(Counting):
    """A job with a row that takes its worker's whole node along, as a driver of a GPU does that hangs the machine."""

    row: int = 5

    def worker(self) -> Callable[[pa.Table], pa.Table]:
        def work(chunk: pa.Table) -> pa.Table:
            if self.row in chunk["n"].to_pylist():
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(60)
            return chunk

        return work


@dataclass(frozen=True)
class Loading(Counting):
    """A job whose workers load for some seconds."""

    def worker(self) -> Callable[[pa.Table], pa.Table]:
        time.sleep(3)
        return super().worker()


def crew(
    job: Counting,
    told: Happened,
    rows: int,
    place: Placement | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> Crew:
    import ray

    return Crew(ray, job, place or Placement(), rows, told, say, Patience(limit=60, setup=1))


def chunks(rows: int, size: int) -> Iterator[pa.Table]:
    for start in range(0, rows, size):
        yield pa.table({"n": list(range(start, start + size))})


def numbers(receipts: Iterator[pa.Table]) -> list[int]:
    return sorted(number for receipt in receipts for number in receipt["n"].to_pylist())


def test_memory_that_runs_out_halves_chunks_and_takes_workers_away(nodes: Nodes) -> None:
    told = Happened()
    found = numbers(crew(Counting(holds=3), told, 160).run(chunks(160, 8)))
    assert found == list(range(160))
    assert told.faults["out of memory"] <= 48, (
        "chunks of 8, then of 4, do not fit; those of 2 do, and later ones are cut first"
    )


def test_an_image_that_fits_nowhere_is_rejected(nodes: Nodes) -> None:
    told = Happened()
    found = numbers(crew(Counting(hopeless=5), told, 16).run(chunks(16, 8)))
    assert found == sorted([*(number for number in range(16) if number != 5), -5])


def test_a_row_that_takes_its_node_along_is_given_up(nodes: Nodes) -> None:
    """Not for ever: the next run, on other nodes, tries it again."""
    lost = [nodes.add(num_gpus=1) for _ in range(LOSSES)]
    nodes.cluster.wait_for_nodes()
    told = Happened()
    try:
        found = numbers(crew(Taking(), told, 1, Placement(gpus=1)).run(iter([pa.table({"n": [Taking.row]})])))
    finally:
        for node in lost:
            nodes.kill(node)
    assert found == [-Taking.row]
    assert told.faults["worker lost"] >= LOSSES, "and once more where a worker was being placed on a node that had just gone"


def test_a_set_up_that_takes_long_is_told_once(nodes: Nodes) -> None:
    said: list[str] = []
    assert numbers(crew(Loading(), Happened(), 8, say=said.append).run(chunks(8, 8))) == list(range(8))
    (message,) = said
    assert message.startswith("workers have been setting up their stages for 1 s, and none is ready")


def test_chunks_are_taken_as_workers_get_free(nodes: Nodes) -> None:
    taken: list[int] = []

    def source() -> Iterator[pa.Table]:
        for number in range(40):
            taken.append(number)
            yield pa.table({"n": [number]})

    running = crew(Counting(), Happened(), 40).run(source())
    next(running)
    assert len(taken) <= 3 * (DEPTH + 1) + 1, "what is taken is what three workers have, and what is next"
    assert len(list(running)) == 39


def test_a_step_finds_the_node_with_gpus_and_gets_its_cpus(bench: Bench, nodes: Nodes) -> None:
    """Ray hands out the GPUs that it was told of; no stage here computes on one."""
    rich = nodes.add(num_cpus=5, num_gpus=2)
    nodes.cluster.wait_for_nodes()
    try:
        run = bench.go(gpus=1)
    finally:
        nodes.kill(rich)
    step = run.record.step("embed")
    assert step.where == "ray: 2 x 2 cpu + 1 gpu", "one worker a GPU; of five CPUs one is left over, two are each worker's"
    assert {name.rpartition("/")[2] for name in step.nodes} == {rich.node_id[:6]}
    assert 1 <= step.notes["decoders"] <= 2


@dataclass(frozen=True)
class Answering:
    """A table job that tells its process, waits for another's, and then fails of `error` or goes on for long."""

    mine: Path
    other: Path | None = None
    error: Exception | None = None
    gpu: bool = False
    threads: int = 1

    def run(self) -> dict[str, Any]:
        self.mine.write_text(str(os.getpid()))
        while self.other is not None and not self.other.exists():
            time.sleep(0.05)
        if self.error is not None:
            raise self.error
        time.sleep(600)
        return {}


def test_a_full_disk_is_told_where_no_other_node_could_do_the_work(nodes: Nodes, tmp_path: Path) -> None:
    """As on a cluster whose head lends no CPU: that it is alive helps nobody."""
    import ray

    large = nodes.add(num_cpus=2)
    nodes.cluster.wait_for_nodes()
    try:
        full = crew(Counting(full=True), Happened(), 8, Placement(cpus=2))
        with pytest.raises(StoreError, match="the disk is full"):
            list(full.run(chunks(8, 8)))
        job: Any = Answering(tmp_path / "pid", error=StoreError("the disk is full"))
        ((_, outcome),) = Tables(ray, [Placed(job, 2, 0)], print, Patience(limit=60)).outcomes()
        assert outcome.kind == "StoreError"  # type: ignore[union-attr]
    finally:
        nodes.kill(large)


@dataclass(frozen=True)
class Telling:
    """A table job that says which process answered it."""

    number: int
    threads: int = 1
    gpu: bool = False

    def run(self) -> dict[str, Any]:
        return {"number": self.number, "pid": os.getpid()}


def test_a_worker_answers_one_table_job_after_the_other(nodes: Nodes) -> None:
    """A hundred candidates of a tuning load their libraries as often as there are workers."""
    import ray

    jobs: list[Any] = [Placed(Telling(number), 1, 0) for number in range(24)]  # type: ignore[arg-type]
    jobs += [Placed(Telling(number, threads=2), 1, 0) for number in range(24, 30)]  # type: ignore[arg-type]
    outcomes = dict(Tables(ray, jobs, print, Patience(limit=120)).outcomes())
    assert [outcomes[number]["number"] for number in range(30)] == list(range(30))  # type: ignore[index]
    pids = [outcomes[number]["pid"] for number in range(30)]  # type: ignore[index]
    assert len(set(pids[:24])) <= 3, "three nodes of a CPU each"
    assert not set(pids[:24]) & set(pids[24:]), "a worker began with so many threads as its job was to have"


ANSWERED: list[int] = []
"""Jobs that this process answered."""


@dataclass(frozen=True)
class Clean(Telling):
    """A table job that, where it is picky, can be done in a new process only, as if what others left filled its memory."""

    picky: bool = False

    def run(self) -> dict[str, Any]:
        if self.picky and ANSWERED:
            os.kill(os.getpid(), signal.SIGKILL)
        ANSWERED.append(self.number)
        return super().run()


def test_a_table_job_that_lost_its_worker_gets_a_new_one(nodes: Nodes) -> None:
    import ray

    jobs: list[Any] = [Placed(Clean(number, picky=number > 9), 1, 0) for number in range(20)]  # type: ignore[arg-type]
    outcomes = dict(Tables(ray, jobs, print, Patience(limit=120)).outcomes())
    assert [outcomes[number]["number"] for number in range(20)] == list(range(20))  # type: ignore[index]
    assert max(outcomes[number]["retried"] for number in range(20)) == 1  # type: ignore[index]


def test_table_jobs_end_with_the_one_that_failed(nodes: Nodes, tmp_path: Path) -> None:
    slow: Any = Answering(tmp_path / "slow")
    failing: Any = replace(slow, mine=tmp_path / "failing", other=slow.mine, error=StageError("no weights"))
    with pytest.raises(StageError, match="no weights") as kept:
        list(Executor(RunOptions(where="ray")).answer([(slow, Placement()), (failing, Placement())]))
    process = Path("/proc") / slow.mine.read_text()
    end = time.monotonic() + 60
    while process.exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not process.exists(), f"its worker goes on after {kept.value}"
