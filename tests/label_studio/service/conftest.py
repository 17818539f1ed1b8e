"""A small real run, and the backend over it: in this process, or one of its own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

import shoal
from shoal.catalogue import Run
from shoal.decisions import Decisions, Surface
from shoal.runner import RunOptions
from shoal_ls import configs
from shoal_ls.service.serving import Options, application
from tests.cli.conftest import PIPELINE, pictures
from tests.ports import free_port

CLUSTER_CONFIG = (Path(configs.__file__).parent / "clusters.xml").read_text()
CHOICE_CONFIG = """<View><Image name="img" value="$image"/>
  <Choices name="cls" toName="img" value="$candidates" choice="single" required="true"/></View>"""


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one run of nine pictures in three clusters; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("served")
    pictures(folder / "photos")
    (folder / "small.yaml").write_text(PIPELINE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_MLFLOW", "off")
        shoal.run(folder / "small.yaml", folder / "photos", folder / "out", options=RunOptions(where="local"))
    return folder


@pytest.fixture
def out(small_store: Path, tmp_path: Path) -> Path:
    """A copy of the store that a test may change."""
    return Path(shutil.copytree(small_store / "out", tmp_path / "out"))


@pytest.fixture
def run(out: Path) -> Run:
    """Its run, which is reviewed in project 7."""
    run = shoal.open(out)
    facts = {"user:3": "reviewer@example.com"}
    Decisions.of(run.store).add_surface(Surface(key="s1", run=run.id, kind="clusters", remote="7", facts=facts))
    return run


@pytest.fixture
def client(out: Path) -> Iterator[TestClient]:
    """The backend in this process."""
    with TestClient(application(Options(str(out)))) as client:
        yield client


def members(run: Run) -> dict[int, list[str]]:
    """Ids by cluster."""
    table = run.joined(["cluster"])
    found: dict[int, list[str]] = {}
    for image, cluster in zip(table["id"].to_pylist(), table["cluster"].to_pylist(), strict=True):
        found.setdefault(cluster, []).append(image)
    return found


def cluster_task(run: Run, cluster: int, images: list[str], **other: Any) -> dict[str, Any]:
    """A task about a cluster, as `shoal review open` makes it."""
    data = {
        "shoal_surface": "s1", "shoal_run": run.id, "shoal_task": f"cluster:{cluster}", "cluster": cluster, "label": "shown",
        "items": [{"id": image, "html": "<b>x</b>"} for image in images], "alt1": None, "alt2": None,
    }  # fmt: skip
    return {"id": cluster + 1, "data": data | other, "project": 7}


def image_task(image: str, clusters: int = 3, **other: Any) -> dict[str, Any]:
    """A task of anybody's about an image, with every cluster to choose from."""
    candidates = [{"value": f"cluster:{number}", "html": "x"} for number in range(clusters)]
    return {"id": 5, "data": {"image": image, "candidates": [*candidates, {"value": "noise", "html": "noise"}]} | other}


def ask(client: Any, tasks: list[Any], config: str = CHOICE_CONFIG) -> list[dict[str, Any]]:
    """Ask for predictions as Label Studio does."""
    request = {"tasks": tasks, "project": "7.1700000000", "label_config": config, "params": {"context": None}}
    answer = client.post("/predict", json=request)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    assert len(results) == len(tasks)
    return results


def annotation_event(number: int, run: Run, at: str = "2026-03-01T10:00:00.000000Z", **other: Any) -> dict[str, Any]:
    """A webhook about a cluster that somebody named."""
    task = cluster_task(run, 0, members(run)[0])
    result = [
        {"from_name": "verdict", "to_name": "ctx", "type": "choices", "value": {"choices": ["accept"]}},
        {"from_name": "cluster_label", "to_name": "ctx", "type": "textarea", "value": {"text": [f"name {number}"]}},
    ]
    annotation = {"id": number, "result": result, "updated_at": at, "completed_by": 3, "task": task["id"], "project": 7}
    event = {"action": "ANNOTATION_CREATED", "annotation": annotation, "task": task, "project": {"id": 7, "title": "t"}}
    return event | other


def wait_until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something is so, for as long as a busy machine may take."""
    ends = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < ends, "it did not come true"
        time.sleep(0.02)


@dataclass
class Process:
    """`shoal serve` as a process of its own."""

    out: Path
    log: Path
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0
    running: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it is healthy."""
        self.port = self.port or free_port()
        command = [sys.executable, "-c", "from shoal.cli import main; main()", "serve", str(self.out)]
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                [*command, "--port", str(self.port), *self.arguments], stderr=log, stdout=log, stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment}, cwd=Path(__file__).parents[3],
            )  # fmt: skip
        wait_until(self.healthy, 60)

    def healthy(self) -> bool:
        assert self.running is not None
        assert self.running.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.url}/health", timeout=1, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def end(self, how: int = signal.SIGTERM) -> None:
        """Tell it to end, and wait."""
        if self.running is not None:
            self.running.send_signal(how)
            self.running.wait(30)
            self.running = None


@pytest.fixture
def process(out: Path, tmp_path: Path) -> Iterator[Process]:
    """A backend that a test starts; it is ended."""
    made = Process(out, tmp_path / "serve.log")
    yield made
    made.end(signal.SIGKILL)
