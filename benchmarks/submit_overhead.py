"""Measures from typing to the first batch: `shoal submit` against a bare `ray job submit` of the same run.

    python benchmarks/submit_overhead.py [--quick] [--rounds 5]

One Ray head on this machine, token auth on. The clock runs from the start of the command to the moment at which the stage of
a little package gets its first batch: it writes the time into a file. The first `shoal submit` installs the wheel on the
node and is told by itself; the others find it there, as the bare one finds the shoal of the node.
"""

import argparse
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common import ROOT, Figure, Trial, finish, median, parser, quiet, take_turns

from shoal.submitting import Cluster, follow

RAY = [sys.executable, "-c", "from ray.scripts.scripts import main; main()"]
IMAGES = 12
PIPELINE = """
shoal: 1
steps:
  - use: index.folder
  - use: embed.clock
"""
PACKAGE = '''
import os, time
from pathlib import Path
import numpy as np
from shoal import hookimpl
from shoal.contract import ImageSpec
from shoal.kinds import Embedder


class Clock(Embedder):
    """Writes down when its first batch came."""

    name = "clock"

    @property
    def size(self):
        """Of the vectors."""
        return 2

    @property
    def image(self):
        """Small pixels."""
        return ImageSpec(32, 32)

    def embed(self, images):
        """Return the same for all."""
        with Path(os.environ["SHOAL_BENCH_CLOCK"]).open("a") as file:
            file.write(f"{time.time()}\\n")
        return np.ones((len(images), 2), dtype=np.float32)


@hookimpl
def shoal_stages():
    """Add it."""
    return (Clock,)
'''
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "shoal-bench-clock"
version = "0.1.0"

[project.entry-points.shoal]
clock = "shoal_bench_clock"
"""


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        with head(folder) as (address, environment):
            bare = lambda: trial(bare_command(folder, address), folder, environment)  # noqa: E731
            ours = lambda: trial(our_command(folder, address), folder, environment)  # noqa: E731
            begun, first = bare(), ours()  # they start what a cluster starts once
            if options.quick:  # those two are enough
                trials = take_turns({"bare": lambda: begun, "shoal": lambda: first}, 1, watch=False)
            else:
                trials = take_turns({"bare": bare, "shoal": ours}, options.rounds)
    finish(options, "Submit", figures(trials, first), {"trials": trials, "first": first, **quiet(trials)})


def arguments() -> argparse.Namespace:
    made = parser(__doc__, "submit_overhead")
    made.add_argument("--rounds", type=int, default=5)
    return made.parse_args()


def prepare(folder: Path) -> None:
    """Write pictures, the pipeline, and the package: installed for the node, and as a wheel."""
    import numpy as np
    from PIL import Image

    (folder / "photos").mkdir()
    for number in range(IMAGES):
        pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{number}.png")
    package = folder / "package" / "shoal_bench_clock"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(PACKAGE)
    (package.parent / "pyproject.toml").write_text(PROJECT)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "install", *offline, "--target", str(folder / "site"), str(package.parent)], check=True)
    job = folder / "job"
    job.mkdir()
    shutil.copy(ROOT / "ray_jobs" / "run.py", job)
    (folder / "clock.yaml").write_text(PIPELINE)
    shutil.copy(folder / "clock.yaml", job)


@contextmanager
def head(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Run a Ray head that has the package; give its address and the environment of its clients."""
    port, dashboard, client, agent = (free_port() for _ in range(4))
    (folder / "token").write_text(secrets.token_hex(32))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "SHOAL_"))} | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(folder / "site"),
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token"), "SHOAL_MLFLOW": "off",
        "SHOAL_BENCH_CLOCK": str(folder / "clock"), "PIP_NO_INDEX": "1",
    }  # fmt: skip
    temporary = Path(tempfile.gettempdir()) / f"shoal-ray-{secrets.token_hex(3)}"
    words = (
        f"start --head --block --port {port} --dashboard-port {dashboard} --ray-client-server-port {client} --num-cpus 2 "
        f"--include-dashboard true --dashboard-host 127.0.0.1 --disable-usage-stats --temp-dir {temporary} "
        f"--dashboard-agent-listen-port {agent}"  # its usual port is that of any other Ray on this machine
    )
    with (folder / "ray.log").open("w") as log:
        process = subprocess.Popen([*RAY, *words.split()], env=environment, stdout=log, stderr=log)
        try:
            wait_for(dashboard, process)
            address = f"http://127.0.0.1:{dashboard}"
            cluster = Cluster(address, str(folder / "token"))
            cluster.submit("true", {}, {}, "first")  # waits for the agent, which takes jobs and comes up after the server
            follow(cluster, "first", print)
            yield address, environment
        finally:
            process.terminate()
            process.wait(60)
            shutil.rmtree(temporary, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 240
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise RuntimeError("Ray did not start")


def bare_command(folder: Path, address: str) -> list[str]:
    words = ["run.py", "./clock.yaml", str(folder / "photos"), "--out", out(folder)]
    submit = ["job", "submit", "--no-wait", "--address", address, "--working-dir", str(folder / "job")]
    return [*RAY, *submit, "--", "python", *words]


def our_command(folder: Path, address: str) -> list[str]:
    words = ["submit", str(folder / "clock.yaml"), str(folder / "photos"), "--out", out(folder), "--address", address]
    return [sys.executable, "-m", "shoal", *words]


def out(folder: Path) -> str:
    return str(folder / f"out-{secrets.token_hex(4)}")


def trial(command: list[str], folder: Path, environment: dict[str, str]) -> Trial:
    """Submit, wait for the first batch and for the end of the run; return the seconds to each."""
    clock = folder / "clock"
    clock.unlink(missing_ok=True)
    began = time.time()
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    sent = time.time() - began
    store = Path(next(word for word in command if word.startswith(str(folder / "out-"))))
    until = time.monotonic() + 240
    while not (records := [json.loads(path.read_text()) for path in store.glob("runs/*/run.json")]) or (
        records[0]["status"] == "running"
    ):
        if time.monotonic() > until:
            raise RuntimeError("the job did not end")
        time.sleep(0.1)
    return {"sent": sent, "first_batch": float(clock.read_text().split()[0]) - began}


def figures(trials: dict[str, list[Trial]], first: Trial) -> list[Figure]:
    bare, ours = median(trials["bare"], "first_batch"), median(trials["shoal"], "first_batch")
    return [
        Figure("to the first batch, bare `ray job submit`", bare, "s"),
        Figure("to the first batch, `shoal submit`", ours, "s"),
        Figure("overhead of `shoal submit`", ours - bare, "s", at_most=2.0),
        Figure("the first `shoal submit` of a shoal that the node has not seen", first["first_batch"] - bare, "s more"),
    ]


if __name__ == "__main__":
    main()
