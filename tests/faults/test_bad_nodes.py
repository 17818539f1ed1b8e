"""Nodes that are slow or can't write: others do their work, and the record says so."""

import contextlib
import os
import random
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pytest

from shoal.catalogue import Run
from shoal.records import StepRecord
from tests.loopback_s3 import serve
from tests.shaky_s3 import shaky

from .cluster import LENGTHY, PHOTOS, At, Bench, Nodes, same
from .stages import GREEDY, HOGGED, ODD

OUTAGE = 40
"""Times that a request fails: more than the 31 that its client tries within 7 s."""

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


UNMOUNTED = '''
"""On this node the disk with the photos is not mounted: the system says that none of them exists."""
import errno
import os


def without(real):
    def ask(path, *args, **kwargs):
        if str(path).endswith(".jpg"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return real(path, *args, **kwargs)

    return ask


os.open, os.stat = without(os.open), without(os.stat)
'''


@pytest.fixture
def full_node(nodes: Nodes, tmp_path: Path) -> Iterator[Any]:
    """A fourth node in whose processes the disk of the store is full."""
    with node_that_begins_with(FULL, nodes, tmp_path) as node:
        yield node


@pytest.fixture
def unmounted_node(nodes: Nodes, tmp_path: Path) -> Iterator[Any]:
    """A fourth node that does not see the photos."""
    with node_that_begins_with(UNMOUNTED, nodes, tmp_path) as node:
        yield node


@contextlib.contextmanager
def node_that_begins_with(code: str, nodes: Nodes, folder: Path) -> Iterator[Any]:
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(code)
    sound = nodes.add(num_gpus=1)
    path = os.pathsep.join([str(folder / "site"), os.environ.get("PYTHONPATH", "")])
    node = nodes.add(num_gpus=1, env_vars={"PYTHONPATH": path, ODD: "1"})
    nodes.cluster.wait_for_nodes()
    yield node
    nodes.kill(node)
    nodes.kill(sound)


def with_odd_node(bench: Bench, folder: Path) -> Run:
    """Run with one worker on the odd node and one on a sound one, which does nothing before the odd one is ready.

    Ray is told of a GPU each, so that no other node has a worker of the step: the six chunks are too many for one.
    """
    return bench.go(f"{LENGTHY}, waits: {folder / 'ready'}", gpus=1)


def names(step: StepRecord) -> set[str]:
    return {name.rpartition("/")[2] for name in step.nodes}


def test_a_full_disk_on_one_node_costs_that_node(
    bench: Bench, nodes: Nodes, full_node: Any, undisturbed: dict[str, pa.Table], tmp_path: Path
) -> None:
    run = with_odd_node(bench, tmp_path)
    same(run, undisturbed)
    step = run.record.step("embed")
    assert step.faults["storage error"] >= 1
    assert full_node.node_id[:6] not in names(step), "a chunk came back from the node that can't write"


def test_a_node_that_does_not_see_the_photos_rejects_none(
    bench: Bench, nodes: Nodes, unmounted_node: Any, undisturbed: dict[str, pa.Table], tmp_path: Path
) -> None:
    """It answers sooner than any other, and would take one chunk after the other."""
    run = with_odd_node(bench, tmp_path)
    same(run, undisturbed)
    assert run.record.step("embed").faults["storage error"] >= 1
    for step in ("index", "embed"):
        assert unmounted_node.node_id[:6] not in names(run.record.step(step))


@pytest.fixture
def tight_node(nodes: Nodes) -> Iterator[Any]:
    """A fourth node, whose memory monitor ends a worker that takes as much as a greedy one does."""
    from ray._private.utils import get_system_memory, get_used_memory

    limit = (get_used_memory() + HOGGED // 2) / get_system_memory()
    settings = {"RAY_memory_usage_threshold": f"{limit:.4f}", "RAY_memory_monitor_refresh_ms": "100", GREEDY: "1"}
    node = nodes.add(num_gpus=1, env_vars=settings)  # no other node has the GPU that the step asks for
    nodes.cluster.wait_for_nodes()
    yield node
    nodes.kill(node)


def test_a_worker_that_the_memory_monitor_ends_costs_nothing(
    bench: Bench, nodes: Nodes, tight_node: object, undisturbed: dict[str, pa.Table], tmp_path: Path
) -> None:
    run = bench.go(f"hog: {tmp_path / 'hogged'}", gpus=1)
    same(run, undisturbed)
    assert run.record.step("embed").faults["out of memory"] >= 1


def test_a_store_that_answers_with_errors_is_tried_through(
    bench: Bench, nodes: Nodes, undisturbed: dict[str, pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fifth of all requests of the run fails; one part file can't be written for longer than its client tries."""
    refused: list[str] = []
    dice = random.Random(0)

    def behave(method: str, path: str) -> str:
        name = path.partition("?")[0]
        if method in ("PUT", "POST") and "/rows/embed" in name and name in (refused or [name]) and len(refused) < OUTAGE:
            refused.append(name)
            return "500"
        return "500" if dice.random() < 0.2 else "pass"

    with serve(monkeypatch, "faults") as bucket:
        endpoint = unquote(re.search(r"endpoint_override=([^&]+)", bucket.query)[1])  # type: ignore[index]
        with shaky(endpoint) as proxy:
            proxy.behave = behave
            run = bench.go(out=f"s3://faults/out?{proxy.query}")
            proxy.behave = lambda method, path: "pass"
            same(run, undisturbed)
    assert len(refused) == OUTAGE
    assert run.record.step("embed").faults["storage error"] >= 1


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
