"""Nodes of which one is unlike the others: its workers never get ready, or it was the one with the GPU."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pytest

from shoal.errors import RunFailed, StoreError
from shoal.runner.crew import PLAN_SECONDS, Crew
from shoal.runner.distrust import OFTEN
from shoal.runner.hands import CALM
from shoal.runner.happened import Happened
from shoal.runner.placement import Placement, alive
from shoal.runner.tabling import Placed, Tables
from shoal.runner.waiting import Patience

from .cluster import Nodes
from .test_crew import Answering, Counting, chunks, crew, numbers

BROKEN = "SHOAL_TEST_BROKEN"
"""Set on a node on which no worker gets ready."""

OUTAGE = 6
"""Requests that a store refuses: two of each of three workers."""


def names(told: Happened) -> set[str]:
    return {name.rpartition("/")[2] for name in told.nodes}


@dataclass(frozen=True)
class Picky(Counting):
    """A job whose workers die in setup on a broken node, before the others are ready."""

    log: str = ""

    def worker(self) -> Callable[[pa.Table], pa.Table]:
        if os.environ.get(BROKEN):
            with Path(self.log).open("a") as log:
                log.write("dead\n")
            os._exit(3)
        while not Path(self.log).exists() or len(Path(self.log).read_text().splitlines()) < OFTEN:
            time.sleep(0.05)
        time.sleep(3)  # in which a third one would die, were it sent there
        return super().worker()


def test_a_node_on_which_no_worker_gets_ready_costs_that_node(nodes: Nodes, tmp_path: Path) -> None:
    broken = nodes.add(env_vars={BROKEN: "1"})
    nodes.cluster.wait_for_nodes()
    told = Happened()
    try:
        found = numbers(crew(Picky(log=str(tmp_path / "log")), told, 32, Placement(actors=4)).run(chunks(32, 4)))
    finally:
        nodes.kill(broken)
    assert found == list(range(32))
    assert told.faults == {"worker died": OFTEN}
    assert broken.node_id[:6] not in names(told)


def _die() -> None:
    os._exit(3)


class Deadly(Counting):
    """A job that can't even be unpacked: its stage imports a library that crashes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _die, ()


def test_workers_that_die_before_they_say_where_they_are_end_the_pass(nodes: Nodes) -> None:
    import ray

    pool = Crew(ray, Deadly(), Placement(), 16, Happened(), lambda message: None, Patience(limit=280))
    with pytest.raises(RunFailed, match=r"\d+ workers in a row died while their stages were set up"):
        list(pool.run(chunks(16, 4)))


@dataclass(frozen=True)
class Hiccup(Counting):
    """A job whose store fails everybody, until it has done so often enough."""

    folder: str = ""

    def worker(self) -> Callable[[pa.Table], pa.Table]:
        def work(chunk: pa.Table) -> pa.Table:
            if len(os.listdir(self.folder)) < OUTAGE:
                (Path(self.folder) / f"{os.getpid()}-{chunk['n'][0]}").touch()
                raise StoreError("slow down")
            time.sleep(0.2)
            return chunk

        return work


def test_a_store_that_fails_all_nodes_for_a_moment_costs_none_of_them(nodes: Nodes, tmp_path: Path) -> None:
    told = Happened()
    pool = crew(Hiccup(folder=str(tmp_path)), told, 48)
    assert numbers(pool.run(chunks(48, 2))) == list(range(48))
    assert told.faults["storage error"] >= OUTAGE
    assert len(names(told)) == 3


@dataclass(frozen=True)
class Steady(Counting):
    """A job whose chunks take a while: no worker ends them all in the moment that it outlives its raylet."""

    def worker(self) -> Callable[[pa.Table], pa.Table]:
        def work(chunk: pa.Table) -> pa.Table:
            time.sleep(0.1)
            return chunk

        return work


def test_a_pass_that_began_on_gpus_waits_for_gpus(nodes: Nodes) -> None:
    """A spot node goes, one with fewer CPUs comes: no worker made for a GPU runs without, and none waits in vain."""
    import ray

    rich = nodes.add(num_cpus=6, num_gpus=1)
    nodes.cluster.wait_for_nodes()
    told, found = Happened(), []
    pool = Crew(ray, Steady(), Placement(gpus=1, stretch=True), 64, told, lambda message: None, Patience(limit=120))
    running = pool.run(chunks(64, 2))
    first = next(running)
    nodes.kill(rich)
    while any(node.id == rich.node_id for node in alive(ray.nodes())):
        time.sleep(0.1)
    rest = Thread(target=lambda: found.extend(numbers(chain([first], running))))
    rest.start()
    time.sleep(PLAN_SECONDS + 1)  # in which it would have planned workers without a GPU
    poor = nodes.add(num_cpus=2, num_gpus=1)
    try:
        rest.join()
    finally:
        nodes.kill(poor)
    assert found == list(range(64))
    assert names(told) == {rich.node_id[:6], poor.node_id[:6]}


def test_memory_that_runs_out_in_setup_takes_workers_away(nodes: Nodes) -> None:
    """Weights that fit a node twice and not three times: Ray's monitor says so while the third worker loads them."""
    from ray.exceptions import OutOfMemoryError

    told = Happened()
    pool = crew(Counting(), told, 32)
    full = OutOfMemoryError("the node is running low on memory")

    def lose() -> None:
        assert not list(pool._lose(pool._hands[-1], None, full))

    for _ in range(3):
        pool._hire()
    for left in (2, 1):
        lose()
        assert pool._workers() == left
    assert numbers(pool.run(chunks(32, 8))) == list(range(32)), "one that fits does all"
    assert told.faults == {"out of memory": 2}


def test_a_table_step_says_when_no_node_is_large_enough_any_more(nodes: Nodes, tmp_path: Path) -> None:
    import ray

    job: Any = Answering(tmp_path / "pid")
    with pytest.raises(RunFailed, match="found no room in 1 s: no node of the cluster is that large now"):
        list(Tables(ray, [Placed(job, 64, 0)], lambda message: None, Patience(limit=1)).outcomes())


@dataclass(frozen=True)
class Telling(Counting):
    """A job whose receipts say which process made them."""

    def worker(self) -> Callable[[pa.Table], pa.Table]:
        inner = super().worker()

        def work(chunk: pa.Table) -> pa.Table:
            time.sleep(0.1)
            return inner(chunk).append_column("pid", [[os.getpid()] * chunk.num_rows])

        return work


def test_workers_come_back_after_memory_ran_out(nodes: Nodes) -> None:
    rows = 5 * CALM
    singles = (pa.table({"n": [number]}) for number in range(8, rows))
    receipts = list(crew(Telling(hopeless=0), Happened(), rows).run(chain(chunks(8, 8), singles)))
    assert len(receipts) > 4 * CALM
    late = [receipt["pid"][0].as_py() for receipt in receipts[-10:]]
    assert len(set(late)) > 1, "one image that fits nowhere left one worker for all that came after"
