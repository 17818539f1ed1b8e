"""Three raylets on this machine, a folder of photos, and runs that are disturbed at a moment of their own progress."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from shoal.api import run as run_pipeline
from shoal.catalogue import Run
from shoal.host import Host
from shoal.pipeline import parse
from shoal.runner import RunOptions, Silent
from tests.runner.conftest import save

PHOTOS = 96
BUILTINS = ("shoal_plugins.index.folder", "tests.faults.stages")
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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-long", action="store_true", help="the long form of the fault tests: 20 kills instead of 2")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "faults" in Path(str(item.fspath)).parts:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.slow)


@dataclass
class Nodes:
    """A head with one CPU, and nodes beside it that can be killed."""

    cluster: Any
    others: list[Any] = field(default_factory=list)

    def add(self, **options: Any) -> Any:
        node = self.cluster.add_node(**{"num_cpus": 1, "object_store_memory": 80 << 20, **options})
        self.others.append(node)
        return node

    def kill(self, node: Any) -> None:
        """Kill a raylet with SIGKILL; its workers follow it."""
        self.others.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)

    def whole(self, size: int = 2) -> None:
        """Bring the cluster back to so many nodes beside its head."""
        while len(self.others) < size:
            self.add()
        self.cluster.wait_for_nodes()


@pytest.fixture(scope="session")
def _cluster() -> Iterator[Nodes]:
    import ray
    from ray.cluster_utils import Cluster

    found = Nodes(Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}))
    found.whole()
    ray.init(address=found.cluster.address, log_to_driver=False, logging_level="ERROR")
    yield found
    ray.shutdown()
    found.cluster.shutdown()


@pytest.fixture
def nodes(_cluster: Nodes) -> Nodes:
    """The cluster with all three nodes."""
    _cluster.whole()
    return _cluster


@pytest.fixture(scope="session")
def host() -> Host:
    return Host(builtins=BUILTINS, allow=())


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(PHOTOS):
        save(folder, seed)
    return folder


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
        found = dict.fromkeys(int(line.split()[0]) for line in reversed(self.log.read_text().splitlines()))
        return [pid for pid in found if Path(f"/proc/{pid}").exists()]

    def go(
        self, embed: str = "", progress: Silent | None = None, where: str = "ray", again: bool = False, **options: object
    ) -> Run:
        self.runs += not again
        text = PIPELINE.replace("LOG}", f"{self.log}{embed and ', ' + embed}}}")
        settings = RunOptions(where=where, **options)  # type: ignore[arg-type]
        return run_pipeline(
            parse(text, self.host), self.photos, self.folder / f"out{self.runs}", options=settings, host=self.host,
            progress=progress or Silent(),
        )  # fmt: skip


@pytest.fixture
def bench(host: Host, photos: Path, tmp_path: Path) -> Bench:
    return Bench(host, photos, tmp_path)


@pytest.fixture(scope="session")
def undisturbed(host: Host, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    """The tables of a run in this process."""
    return tables(Bench(host, photos, tmp_path_factory.mktemp("undisturbed")).go(where="local"))


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
    assert (run.record.files, run.record.rejected) == (PHOTOS, 0)
    for step, table in tables(run).items():
        assert table.equals(undisturbed[step]), step
