"""Runs with images and store on an S3 server: killed and resumed, and two at once, with the tables of a run on a disk."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.fs as pafs
import pytest

import shoal as package
from shoal.catalogue import Run, runs
from shoal.runner import RunOptions
from tests.loopback_s3 import Bucket, serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PHOTOS = 60
STEPS = ("thumbnail", "embed", "reduce", "cluster", "label", "sample")
PIPELINE = """
shoal: 1
name: remote
steps:
  - use: index.folder
  - use: thumbnail.jpeg
  - use: embed.lite0
  - use: reduce.pca
    with: {components: 8}
  - use: cluster.hdbscan
    from: reduce
    with: {min_cluster_size: 3, min_samples: 2}
  - use: label.tags
    from: [embed, cluster]
  - use: sample.nearest
    from: [embed, cluster]
  - use: visualize.grid
"""


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with pytest.MonkeyPatch.context() as patch, serve(patch, "remote") as bucket:
        patch.setenv("SHOAL_MLFLOW", "off")
        yield bucket


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pipeline") / "remote.yaml"
    path.write_text(PIPELINE)
    return path


@pytest.fixture(scope="module")
def local(bucket: Bucket, pipeline: Path, photo_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run on a disk; its images are put into the bucket, too."""
    folder = tmp_path_factory.mktemp("disk")
    (folder / "in").mkdir()
    for path in sorted(photo_set.rglob("*.webp"))[::3][:PHOTOS]:
        (folder / "in" / path.name).write_bytes(path.read_bytes())
        bucket.put(f"in/{path.name}", path.read_bytes())
    return package.run(pipeline, folder / "in", folder / "out", options=RunOptions(where="local"))


def start(pipeline: Path, bucket: Bucket, out: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "shoal", "run", str(pipeline), bucket.uri("in"), "--out", bucket.uri(out)]
    return subprocess.Popen([*command, "--on", "local", "--quiet"], env=os.environ, stdout=subprocess.DEVNULL)


def parts(bucket: Bucket, out: str) -> int:
    """Return how many part files of rows there are."""
    found = bucket.filesystem.get_file_info(pafs.FileSelector(f"remote/{out}/rows", recursive=True, allow_not_found=True))
    return sum(info.is_file for info in found)


def check(out: str, local: Run) -> Run:
    run = package.open(out)
    assert run.record.accepted == PHOTOS
    for step in STEPS:
        assert run.table(step).equals(local.table(step)), step
    return run


def test_a_killed_run_goes_on(local: Run, pipeline: Path, bucket: Bucket) -> None:
    killed = start(pipeline, bucket, "killed")
    until = time.monotonic() + 120
    while not parts(bucket, "killed") and killed.poll() is None:
        assert time.monotonic() < until
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(30) == -signal.SIGKILL, "it was over before it could be killed"
    kept = parts(bucket, "killed")
    run = package.run(pipeline, bucket.uri("in"), bucket.uri("killed"), options=RunOptions(where="local"))
    thumbnail, embed = (run.record.step(name) for name in ("thumbnail", "embed"))
    assert thumbnail is not None
    assert embed is not None
    assert kept > 0
    assert thumbnail.cached + embed.cached > 0
    check(bucket.uri("killed"), local)
    again = package.run(pipeline, bucket.uri("in"), bucket.uri("killed"), options=RunOptions(where="local"))
    assert {step.computed for step in again.record.steps} == {0}
    assert again.folder.exists("report.html")


def test_two_runs_share_a_store(local: Run, pipeline: Path, bucket: Bucket) -> None:
    both = [start(pipeline, bucket, "shared") for _ in range(2)]
    assert [process.wait(200) for process in both] == [0, 0]
    run = check(bucket.uri("shared"), local)
    done = [record for record in runs(run.store) if record.status == "done"]
    assert len(done) == 2
    assert len({step.digest for record in done for step in record.steps if step.step == "cluster"}) == 1
