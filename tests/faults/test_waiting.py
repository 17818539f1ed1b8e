"""Nothing hangs silently: what waits says for what, goes on by itself, and ends at its limit."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pytest

from shoal.errors import RunFailed
from shoal.runner import Silent

from .cluster import Bench, Nodes, same


class Hearing(Silent):
    """A progress that acts on what it is told."""

    def __init__(self, act: Any) -> None:
        self.act, self.said = act, []  # type: ignore[var-annotated]

    def tell(self, message: str) -> None:
        self.said.append(message)
        self.act()


@contextmanager
def taken(cpus: int) -> Iterator[list[Any]]:
    """Take all CPUs of the cluster for other work."""
    import ray

    @ray.remote(num_cpus=1)
    class Other:
        def here(self) -> bool:
            return True

    others = [Other.remote() for _ in range(cpus)]  # type: ignore[attr-defined]
    ray.get([other.here.remote() for other in others])
    try:
        yield others
    finally:
        for other in others:
            ray.kill(other)


def test_a_busy_cluster_is_told_and_waited_for(bench: Bench, nodes: Nodes, undisturbed: dict[str, pa.Table]) -> None:
    import ray

    with taken(3) as others:
        hearing = Hearing(lambda: [ray.kill(other) for other in others])
        run = bench.go(progress=hearing)
    same(run, undisturbed)
    assert set(hearing.said) == {  # said again by a later step where the machine is slow to give up what the others had
        "waiting for room for a worker of 1 CPUs: nodes are taken by other work, or still to come; goes on by itself when "
        "there is room, gives up 3600 s after it began to wait"
    }


def test_a_wait_ends_at_its_limit(bench: Bench, nodes: Nodes) -> None:
    with taken(3), pytest.raises(RunFailed, match=r"found no room in 2 s: nodes are taken by other work, or still to come"):
        bench.go(wait=2.0)
