"""A third-party stage runs on Ray's workers: discovered on the driver, shipped as its options."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.ports import free_port

PIPELINE = """
shoal: 1
steps:
  - use: index.folder
  - use: embed.brightness
    run: {actors: 1}
"""
JOB = """
import json, os, sys
import shoal
from shoal.host import Host

pipeline, photos, out = sys.argv[1:]
found = [[plugin.name, plugin.module] for plugin in Host().plugins if plugin.distribution]
run = shoal.run(pipeline, photos, out, options=shoal.RunOptions(where="ray"))
rows = run.table("embed")
print("SAID", json.dumps({
    "pid": os.getpid(), "found": found, "where": run.record.step("embed").where, "rows": rows.num_rows,
    "columns": rows.column_names, "file": sys.modules["shoal_test_good"].__file__,
}))
"""
IMAGES = 12
RAY = [sys.executable, "-c", "from ray.scripts.scripts import main; main()"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def plain_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "SHOAL_", "PYTHONPATH"))}


@dataclass(frozen=True)
class Work:
    """A folder with little pictures, a pipeline that uses the third-party stage, and a job that runs it."""

    folder: Path

    @property
    def arguments(self) -> list[str]:
        return [str(self.folder / name) for name in ("pipeline.yaml", "photos", "out")]

    @property
    def working_dir(self) -> Path:
        return self.folder / "working_dir"

    @property
    def environment(self) -> dict[str, str]:
        return {**plain_environment(), "SHOAL_TEST_HEARD": str(self.folder / "heard.jsonl"), "SHOAL_MLFLOW": "off"}

    def heard(self, event: str) -> list[dict[str, object]]:
        lines = [json.loads(line) for line in (self.folder / "heard.jsonl").read_text().splitlines()]
        return [line for line in lines if line["event"] == event]

    def check(self, output: str) -> dict[str, object]:
        """Check what the job said and what its hooks and workers wrote down; return what it said."""
        (line,) = [line for line in output.splitlines() if "SAID" in line]
        said: dict[str, object] = json.loads(line.partition("SAID ")[2])
        assert said["found"] == [["good", "shoal_test_good"]]
        assert str(said["where"]).startswith("ray: ")
        assert said["rows"] == IMAGES
        assert "embedding" in list(said["columns"])  # type: ignore[call-overload]
        workers = {line["pid"] for line in self.heard("setup")}
        assert workers, "no worker set the stage up"
        assert said["pid"] not in workers, "the stage ran on the driver"
        assert [line["step"] for line in self.heard("stage_done")] == ["index", "embed"]
        assert [line["status"] for line in self.heard("run_done")] == ["done"]
        return said


@pytest.fixture
def work(tmp_path: Path) -> Work:
    (tmp_path / "photos").mkdir()
    for number in range(IMAGES):
        pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    return Work(tmp_path)


def test_a_worker_gets_the_stage(work: Work, sites: dict[str, Path]) -> None:
    """Embedded Ray: the package is installed beside shoal."""
    (work.folder / "job.py").write_text(JOB)
    environment = {**work.environment, "PYTHONPATH": str(sites["good"])}
    done = subprocess.run(
        [sys.executable, str(work.folder / "job.py"), *work.arguments],
        env=environment, cwd=work.folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = work.check(done.stdout)
    assert str(said["file"]).startswith(str(sites["good"]))


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster of one node with a job server, and what its clients need in their environment."""

    dashboard: str
    environment: dict[str, str]

    def run(self, work: Work, arguments: list[str]) -> str:
        """Submit a job with the working_dir of `work`, wait until it succeeded, return what it printed.

        Not by the submit command's own log follower: it ends with an error where the node's agent is not up yet when the
        job begins (close code 1006), while the job itself runs on.
        """
        name = f"job-{secrets.token_hex(4)}"
        end = time.monotonic() + 300
        while "No available agent" in (done := self._submit(name, work, arguments)).stderr and time.monotonic() < end:
            time.sleep(1)  # the job server listens before the node's agent is up
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        while (job := self._ask(name))["status"] in ("PENDING", "RUNNING") and time.monotonic() < end:
            time.sleep(0.5)
        output = str(self._ask(f"{name}/logs")["logs"])
        assert job["status"] == "SUCCEEDED", f"{job['status']}: {job['message']}\n{output[-3000:]}"
        return output

    def _submit(self, name: str, work: Work, arguments: list[str]) -> "subprocess.CompletedProcess[str]":
        variables = {key: work.environment[key] for key in ("SHOAL_TEST_HEARD", "SHOAL_MLFLOW")}
        return subprocess.run(
            [*RAY, "job", "submit", "--no-wait", "--submission-id", name, "--address", self.dashboard,
             "--runtime-env-json", json.dumps({"env_vars": variables}), "--working-dir", str(work.working_dir), "--",
             sys.executable, *arguments],
            env=self.environment, cwd=work.folder, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def _ask(self, path: str) -> dict[str, object]:
        token = Path(self.environment["RAY_AUTH_TOKEN_PATH"]).read_text()
        headers = {"Authorization": f"Bearer {token}"}
        with urllib.request.urlopen(urllib.request.Request(f"{self.dashboard}/api/jobs/{path}", headers=headers)) as answer:
            found: dict[str, object] = json.load(answer)
        return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of our own, for all jobs; Ray asks for a token, and socket paths must be short."""
    port, dashboard, client, agent = (free_port() for _ in range(4))
    folder = tmp_path_factory.mktemp("cluster")
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    environment = {**plain_environment(), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    temporary = Path(tempfile.gettempdir()) / f"shoal-ray-{secrets.token_hex(3)}"
    words = (
        f"start --head --block --port {port} --dashboard-port {dashboard} --ray-client-server-port {client} --num-cpus 2 "
        f"--include-dashboard true --dashboard-host 127.0.0.1 --disable-usage-stats --temp-dir {temporary} "
        f"--dashboard-agent-listen-port {agent}"  # takes the jobs; its usual port is that of any other Ray on this machine
    )
    log = (folder / "ray.log").open("w")
    head = subprocess.Popen([*RAY, *words.split()], env=environment, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{dashboard}"
    try:
        wait_for(dashboard, head, folder / "ray.log")
        yield Cluster(address, environment)
    finally:
        stop(head)
        log.close()
        shutil.rmtree(temporary, ignore_errors=True)


def stop(head: "subprocess.Popen[bytes]") -> None:
    """End the head and what it started; the raylet ends its workers."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(head.pid, number)
        try:
            head.wait(20)  # it is a throw-away cluster
        except subprocess.TimeoutExpired:
            continue
        return


def wait_for(port: int, head: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until the job server listens."""
    end = time.monotonic() + 240
    while time.monotonic() < end and head.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    pytest.fail(f"Ray did not start: {log.read_text()[-2000:]}")


def test_a_job_with_a_working_dir(work: Work, cluster: Cluster, sites: dict[str, Path]) -> None:
    """The package lies in the working_dir only: the driver finds its entry point there, workers import it from there."""
    shutil.copytree(sites["good"], work.working_dir)
    (work.working_dir / "job.py").write_text(JOB)
    said = work.check(cluster.run(work, ["job.py", *work.arguments]))
    assert not str(said["file"]).startswith(str(work.working_dir)), "the job ran where it was submitted, not on the cluster"


def test_the_entry_point_for_jobs(work: Work, cluster: Cluster, sites: dict[str, Path]) -> None:
    """`ray_jobs/run.py` is the command line: a plain submit runs a pipeline and prints the same summary."""
    shutil.copytree(sites["good"], work.working_dir)
    shutil.copy(Path(__file__).parents[2] / "ray_jobs" / "run.py", work.working_dir)
    printed = cluster.run(work, ["run.py", *work.arguments[:2], "--out", work.arguments[2]])
    assert f"{IMAGES} of {IMAGES} files accepted" in printed
