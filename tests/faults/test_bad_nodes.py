"""Nodes that are slow or can't write: others do their work, and the record says so."""

import contextlib
import os
import signal
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from .cluster import PHOTOS, At, Bench, Nodes, same

FULL = '''
"""On this node every file of the store is on a full disk: the write itself fails with ENOSPC, as the system says it."""
import errno
import os

import pyarrow as pa

real = pa.OSFile


def full(path, mode="rb"):
    if "w" in mode and "/rows/" in path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    return real(path, mode)


pa.OSFile = full
'''


@pytest.fixture
def full_node(nodes: Nodes, tmp_path: Path) -> object:
    """A fourth node in whose processes the disk of the store is full."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "sitecustomize.py").write_text(FULL)
    path = os.pathsep.join([str(tmp_path / "full"), os.environ.get("PYTHONPATH", "")])
    node = nodes.add(env_vars={"PYTHONPATH": path})
    nodes.cluster.wait_for_nodes()
    yield node
    nodes.kill(node)


def test_a_full_disk_on_one_node_costs_that_node(
    bench: Bench, nodes: Nodes, full_node: object, undisturbed: dict[str, pa.Table]
) -> None:
    run = bench.go(actors=4)
    same(run, undisturbed)
    step = run.record.step("embed")
    assert step.faults["storage error"] >= 1
    names = {name.rpartition("/")[2] for name in step.nodes}
    assert full_node.node_id[:6] not in names, "a chunk came back from the node that can't write"  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.platform != "linux", reason="stops a process by a signal")
def test_what_a_stopped_worker_has_is_done_by_others(bench: Bench, nodes: Nodes, undisturbed: dict[str, pa.Table]) -> None:
    """A node that swaps, or a disk that hangs: the worker is there and gives no answer."""
    stopped: list[int] = []

    def stop() -> None:
        stopped.append(bench.workers()[0])
        os.kill(stopped[0], signal.SIGSTOP)

    try:
        run = bench.go(progress=At("embed", 1, stop))
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):  # the run has ended it, as it should
                os.kill(pid, signal.SIGKILL)
    same(run, undisturbed)
    assert run.record.step("embed").faults["slow worker"] >= 1
    assert sum(run.record.step("embed").nodes.values()) == PHOTOS, "what was done twice counts once"
