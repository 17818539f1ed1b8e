"""A run that is killed with SIGKILL goes on where it was, and its tables are those of a run that nobody disturbed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import shoal as package
from shoal.catalogue import Run
from shoal.runner import RunOptions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PIPELINE = """
shoal: 1
name: kill
steps:
  - use: index.folder
  - use: thumbnail.jpeg
  - use: embed.lite0
  - use: reduce.pca
    with: {components: 8}
  - use: cluster.hdbscan
    from: reduce
  - use: label.tags
  - use: sample.nearest
    from: embed
  - use: visualize.sizes
"""
STEPS = ("thumbnail", "embed", "reduce", "cluster", "label", "sample")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for seed in range(160):
        noise = np.random.default_rng(seed)
        small = noise.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(small).resize((320, 240), Image.Resampling.BICUBIC).save(folder / f"{seed}.jpg")
    (folder / "bad.jpg").write_bytes((folder / "1.jpg").read_bytes()[:900])
    return folder


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pipeline") / "kill.yaml"
    path.write_text(PIPELINE)
    return path


@pytest.fixture(scope="module")
def undisturbed(images: Path, pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, float]:
    began = time.monotonic()
    process = start(pipeline, images, tmp_path_factory.mktemp("whole") / "out", "local")
    assert process.wait(200) == 0
    seconds = time.monotonic() - began
    run = package.run(pipeline, images, tmp_path_factory.mktemp("again") / "out", options=RunOptions(where="local"))
    return run, seconds


def start(pipeline: Path, images: Path, out: Path, where: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", "from shoal.cli import main; main()", "run", str(pipeline), str(images)]
    return subprocess.Popen(
        [*command, "--out", str(out), "--on", where, "--quiet"],
        env={**os.environ, "SHOAL_MLFLOW": "off"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def kill_then_finish(pipeline: Path, images: Path, out: Path, where: str, seconds: float) -> Run:
    process = start(pipeline, images, out, where)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    return package.run(pipeline, images, out, options=RunOptions(where="local"))


def same(run: Run, whole: Run) -> None:
    for step in STEPS:
        assert run.table(step).equals(whole.table(step)), step
    assert run.rejected.equals(whole.rejected)
    assert (run.record.files, run.record.accepted, run.record.rejected) == (161, 160, 1)


@pytest.mark.parametrize("moment", range(17))
def test_a_killed_run_ends_with_the_same_tables(
    moment: int, images: Path, pipeline: Path, undisturbed: tuple[Run, float], tmp_path: Path
) -> None:
    whole, seconds = undisturbed
    # Spread over the run, each at a random point of its part, so that every step is met.
    share = (moment + random.Random(moment).random()) / 17
    same(kill_then_finish(pipeline, images, tmp_path / "out", "local", seconds * share), whole)


@pytest.mark.parametrize("moment", range(3))
def test_a_killed_run_on_ray_ends_with_the_same_tables(
    moment: int, images: Path, pipeline: Path, undisturbed: tuple[Run, float], tmp_path: Path
) -> None:
    whole, _ = undisturbed
    seconds = 8 + 4 * (moment + random.Random(100 + moment).random())
    same(kill_then_finish(pipeline, images, tmp_path / "out", "ray", seconds), whole)
