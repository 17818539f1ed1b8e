"""Several raylets on this machine, and runs that are disturbed at a moment of their own progress."""

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from shoal.api import run as run_pipeline
from shoal.catalogue import Run
from shoal.host import Host
from shoal.pipeline import parse
from shoal.runner import RunOptions, Silent

LONG = bool(os.environ.get("SHOAL_FAULTS_LONG"))
"""The long form: twenty kills instead of two, both ways to die."""

PHOTOS = 96
BUILTINS = ("shoal_plugins.index.folder", "tests.faults.stages")
LENGTHY = "pause: 0.05"
"""Work enough that all three workers have some of it: with less, the first to start does it all."""

STEPS = ("embed", "reduce", "cluster", "label")
PIPELINE = """
shoal: 1
name: fragile
steps:
  - use: index.folder
  - use: embed.fragile
    with: {pause: 0.01, log: LOG}
    run: {actors: 3, batch: 8}
  - use: reduce.centre
  - use: cluster.split
    from: reduce
  - use: label.numbered
"""


@dataclass
class Nodes:
    """A head with one CPU, and nodes beside it that can be killed."""

    cluster: Any
    others: list[Any] = field(default_factory=list)

    def add(self, **options: Any) -> Any:
        """Add a node. Ray gives a raylet 30 s to start: where others have the cores, it gets a second chance."""
        wanted = {"num_cpus": 1, "object_store_memory": 80 << 20, **options}
        try:
            node = self.cluster.add_node(**wanted)
        except Exception:  # Ray raises no class of its own
            node = self.cluster.add_node(**wanted)
        self.others.append(node)
        return node

    def kill(self, node: Any) -> None:
        """Kill a raylet with SIGKILL; its workers follow it."""
        self.others.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)

    def working(self, pids: list[int]) -> Any | None:
        """Return the node of the first of these workers that is not on the head: a worker is a child of its raylet."""
        raylets = {node.all_processes["raylet"][0].process.pid: node for node in self.others}
        return next((raylets[parent] for parent in map(_parent, pids) if parent in raylets), None)

    def whole(self, size: int = 2) -> None:
        """Bring the cluster back to so many nodes beside its head."""
        while len(self.others) < size:
            self.add()
        self.cluster.wait_for_nodes()


def _parent(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it has ended
        return 0
    return int(status.partition("PPid:")[2].split()[0])


@contextmanager
def three_nodes() -> Iterator[Nodes]:
    """Run a head and two nodes; this process is their driver."""
    import ray
    from ray.cluster_utils import Cluster

    found = Nodes(Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}))
    try:
        found.whole()
        ray.init(address=found.cluster.address, log_to_driver=False, logging_level="ERROR")
        yield found
    finally:
        ray.shutdown()
        found.cluster.shutdown()


class At(Silent):
    """A progress that does something once, when so many rows of a step are done."""

    def __init__(self, step: str, rows: int, act: Callable[[], object]) -> None:
        self.step, self.left, self.act = step, rows, act
        self.said: list[str] = []
        self.done = False

    def start(self, step: str, total: int) -> None:
        self._count(step, 0)

    def advance(self, step: str, rows: int) -> None:
        self._count(step, rows)

    def tell(self, message: str) -> None:
        self.said.append(message)

    def _count(self, step: str, rows: int) -> None:
        if step != self.step or self.done:
            return
        self.left -= rows
        if self.left <= 0:
            self.done = True
            self.act()


@dataclass
class Bench:
    """Runs the pipeline, each time into a store of its own."""

    host: Host
    photos: Path
    folder: Path
    runs: int = 0

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def workers(self) -> list[int]:
        """Pids of the workers that are alive, the one that computed last first."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        found = dict.fromkeys(int(line.split()[0]) for line in reversed(lines))
        return [pid for pid in found if Path(f"/proc/{pid}").exists()]

    def go(
        self,
        embed: str = "",
        progress: Silent | None = None,
        where: str = "ray",
        actors: int = 3,
        gpus: int = 0,
        max_failed: float = 0.5,
        out: str = "",
        **options: object,
    ) -> Run:
        self.runs += 1
        text = PIPELINE.replace("pause: 0.01, log: LOG", f"log: {self.log}, {embed or 'pause: 0.01'}")
        text = text.replace("name: fragile", f"name: fragile\nmax_failed: {max_failed}")
        text = text.replace("actors: 3", f"gpus: {gpus}" if gpus else f"actors: {actors}")
        settings = RunOptions(where=where, **options)  # type: ignore[arg-type]
        return run_pipeline(
            parse(text, self.host), self.photos, out or self.folder / f"out{self.runs}", options=settings, host=self.host,
            progress=progress or Silent(),
        )  # fmt: skip


def moment(seed: int, photos: int = PHOTOS) -> tuple[str, int, random.Random]:
    """Return a step and its number of done rows at which something is to happen, and the dice for what.

    Most of the work is in the pass over the images; tables begin when it is over, and a node may go then as well.
    """
    dice = random.Random(seed)
    step, rows = dice.choice([("embed", dice.randrange(photos))] * 4 + [(dice.choice(("index", *STEPS[1:])), 0)])
    return step, rows, dice


def strike(nodes: Nodes, bench: Bench, dice: random.Random) -> None:
    """Kill the node beside the head whose worker began a call last, so that it has work; any where none has a worker.

    Receipts come when workers end their chunks: a while later they are in the midst of the next ones.
    """
    time.sleep(dice.uniform(0.0, 0.5))
    nodes.kill(nodes.working(bench.workers()) or dice.choice(nodes.others))


def tables(run: Run) -> dict[str, pa.Table]:
    """Every table of a run; its rows are counted in the part files, too: none is there twice."""
    found = {step: run.table(step) for step in STEPS}
    rows = run.store.rows("embed.fragile", run.record.step("embed").fingerprint)
    ids = [name for part in rows.parts() for name in rows.folder.read_table(part.name, ["id"])["id"].to_pylist()]
    assert sorted(ids) == sorted(found["embed"]["id"].to_pylist()), "part files hold a row twice or one too many"
    return found


def same(run: Run, undisturbed: dict[str, pa.Table]) -> None:
    """Assert that a run ended with the tables of the undisturbed one."""
    assert run.record.status == "done"
    assert (run.record.files, run.record.rejected) == (undisturbed["embed"].num_rows, 0)
    for step, table in tables(run).items():
        assert table.equals(undisturbed[step]), step
