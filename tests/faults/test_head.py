"""The head node dies, and the driver with it: the same command on a new cluster goes on where it was."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from shoal.api import open as open_store
from shoal.host import Host

from .cluster import PHOTOS, same

ROOT = Path(__file__).parents[2]


@contextmanager
def head() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        yield cluster
    finally:
        cluster.shutdown()


def start(cluster: Any, photos: Path, folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.faults.driver", cluster.address, str(photos), str(folder)]
    paths = os.pathsep.join(str(ROOT / name) for name in ("", "core", "plugins", "ls_backend"))
    # The driver waits for a head that is gone for a minute; five seconds do for a test.
    quick = {"PYTHONPATH": paths, "RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
    return subprocess.Popen(command, env={**os.environ, **quick}, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_a_new_head_and_the_same_command_go_on(
    photos: Path, tmp_path: Path, host: Host, undisturbed: dict[str, pa.Table]
) -> None:
    with head() as first:
        driver = start(first, photos, tmp_path)
        while not (tmp_path / "moment").exists():
            assert driver.poll() is None, "the driver ended before its head was killed"
            time.sleep(0.05)
        first.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
        driver.communicate(timeout=200)
        assert driver.returncode, "a run without a head did not end well"
    with head() as second:
        again = start(second, photos, tmp_path)
        said, _ = again.communicate(timeout=200)
        assert again.returncode == 0
    assert 0 < int(said.split()[-1]) <= PHOTOS - 32, "what was done before is not done again"
    same(open_store(tmp_path / "out1", host=host), undisturbed)
