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
from shoal.runner.hands import CALM
from shoal.runner.happened import Happened
from shoal.runner.placement import Placement, alive
from shoal.runner.waiting import Patience

from .cluster import Nodes
from .test_crew import Counting, chunks, crew, numbers

BROKEN = "SHOAL_TEST_BROKEN"
"""Set on a node on which no worker gets ready."""

OUTAGE = 6
"""Requests that a store refuses: two of each of three workers."""


def names(told: Happened) -> set[str]:
    return {name.rpartition("/")[2] for name in told.nodes}


@dataclass(frozen=True)
class Picky(Counting):
    """A job whose workers die in setup on a broken node, long before the others are ready."""

    def worker(self) -> Callable[[pa.Table], pa.Table]:
        if os.environ.get(BROKEN):
            os._exit(3)
        time.sleep(6)
        return super().worker()


def test_a_node_on_which_no_worker_gets_ready_costs_that_node(nodes: Nodes) -> None:
    broken = nodes.add(env_vars={BROKEN: "1"})
    nodes.cluster.wait_for_nodes()
    told = Happened()
    try:
        found = numbers(crew(Picky(), told, 32, Placement(actors=4)).run(chunks(32, 4)))
    finally:
        nodes.kill(broken)
    assert found == list(range(32))
    assert told.faults["worker died"] == 2
    assert broken.node_id[:6] not in names(told)


def _die() -> None:
    os._exit(3)


class Deadly(Counting):
    """A job that can't even be unpacked: its stage imports a library that crashes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _die, ()


def test_workers_that_die_before_they_say_where_they_are_end_the_pass(nodes: Nodes) -> None:
    with pytest.raises(RunFailed, match=r"\d+ workers in a row died while their stages were set up"):
        list(crew(Deadly(), Happened(), 8).run(chunks(8, 4)))


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


def test_a_pass_that_began_on_gpus_waits_for_gpus(nodes: Nodes) -> None:
    """A spot node goes, one with fewer CPUs comes: no worker made for a GPU runs without, and none waits in vain."""
    import ray

    rich = nodes.add(num_cpus=6, num_gpus=1)
    nodes.cluster.wait_for_nodes()
    told, found = Happened(), []
    pool = Crew(ray, Counting(), Placement(gpus=1, stretch=True), 64, told, lambda message: None, Patience(limit=120))
    running = pool.run(chunks(64, 2))
    first = next(running)
    nodes.kill(rich)
    rest = Thread(target=lambda: found.extend(numbers(chain([first], running))))
    rest.start()
    while any(node.id == rich.node_id for node in alive(ray.nodes())):
        time.sleep(0.1)
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
    for _ in range(2):  # not even one fits
        pool._hire()
        lose()
    pool._hire()
    with pytest.raises(RunFailed, match=r"3 workers in a row died while their stages were set up \(out of memory\)"):
        lose()


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
