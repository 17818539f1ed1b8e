"""`shoal tune` on the photos: the whole command, a run of a candidate, SIGKILL in between."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import shoal as package

from ..conftest import Shoal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SPACE = """
shoal-space: 1
options:
  reduce.neighbors: [8, 15]
  reduce.components: [3, 5]
  cluster.min_cluster_size: {from: 5, to: 15, step: 5}
  cluster.selection_method: [leaf, eom]
"""
PLAIN = ("--set", "embed.prepare={}")
BUDGET = 12
ANSWERS = ("reduce.umap", "cluster.hdbscan")


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("space") / "space.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="module")
def command(photo_set: Path, space: Path) -> list[str]:
    """The command, all but --out: generations of four, in one process."""
    return [
        "tune", "structural-clusters", str(photo_set), *PLAIN, "--space", str(space), "--budget", str(BUDGET),
        "--generation", "4", "--truth", "folder", "--on", "local",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def out(command: list[str], tmp_path_factory: pytest.TempPathFactory, shoal: Shoal) -> Path:
    """A tuning that nobody disturbed."""
    folder = tmp_path_factory.mktemp("tune") / "out"
    done = shoal(*command, "--out", folder)
    (folder.parent / "told").write_text(done.stdout)
    (folder.parent / "lines").write_text(done.stderr)
    return folder


def rows(out: Path) -> list[dict[str, str]]:
    """The table of the last tuning, without the seconds, which are nobody's to repeat."""
    text = (out / "tuning" / "tuning_results_all.csv").read_text().splitlines()
    return [{**row, "seconds": ""} for row in csv.DictReader(text)]


def answers(out: Path) -> dict[str, int]:
    """When each kept answer was finished."""
    found = [path for kind in ANSWERS for path in (out / "tables" / kind).rglob("done.json")]
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in found}


def test_what_is_told(out: Path) -> None:
    told, lines = (out.parent / "told").read_text(), (out.parent / "lines").read_text()
    summary = json.loads((out / "tuning" / "tuning_summary_latest.json").read_text())
    assert f"TUNING {summary['name']}: {BUDGET} candidates, 0 failed" in told
    assert f"shoal run --from-trial {summary['best']['number']} --out" in told
    assert "8 of 12 candidates, 0 failed; best: " in lines
    assert len(rows(out)) == BUDGET
    assert all(row["images"] == "214" and row["score"] and row["ari"] for row in rows(out))


def test_only_what_candidates_need_was_computed(out: Path) -> None:
    assert {path.name for path in (out / "tables").iterdir()} == set(ANSWERS)
    assert len(list((out / "tables" / "reduce.umap").iterdir())) <= 8  # 2 x 2 reductions, and a twin of each


def test_a_candidate_runs_again_to_the_tables_that_were_tuned(out: Path, photo_set: Path, shoal: Shoal) -> None:
    row = min(rows(out), key=lambda row: float(row["score"]))
    before = answers(out)
    record = json.loads(shoal("run", "--from-trial", row["number"], "--out", out, "--json").stdout)
    steps = {step["step"]: step for step in record["steps"]}
    assert steps["reduce"]["where"] == steps["cluster"]["where"] == steps["embed"]["where"] == "cached"
    assert (record["clusters"], record["noise"]) == (int(row["clusters"]), int(row["noise"]))
    clusters = package.open(out, record["id"]).table("cluster")["cluster"].to_pylist()
    assert max(clusters.count(cluster) for cluster in set(clusters) - {-1}) == int(row["largest"])
    assert before.items() <= answers(out).items()
    assert "leave" in shoal("run", "quickstart", photo_set, "--from-trial", "1", "--out", out, code=2).stderr
    assert "they go from 1 to 12" in shoal("run", "--from-trial", "13", "--out", out, code=2).stderr


@pytest.mark.parametrize("seed", range(3))
def test_sigkill_loses_no_finished_candidate(command: list[str], out: Path, tmp_path: Path, shoal: Shoal, seed: int) -> None:
    """Kill at a random moment, give the command again: what was kept is not computed again, the results are the same."""
    folder = tmp_path / "out"
    for name in ("rows", "index"):  # the features are no part of this
        shutil.copytree(out / name, folder / name)
    shutil.copy(out / "shoal.json", folder)
    child = subprocess.Popen(
        [sys.executable, "-c", "from shoal.cli import main; main()", *command, "--out", str(folder)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "SHOAL_MLFLOW": "off"},
    )  # fmt: skip
    wanted = random.Random(seed).randint(1, 20)
    while len(answers(folder)) < wanted and child.poll() is None:
        time.sleep(0.01)
    time.sleep(random.Random(seed).random() * 0.3)
    child.send_signal(signal.SIGKILL)
    child.wait()
    kept = answers(folder)
    assert kept
    shoal(*command, "--out", folder)
    assert kept.items() <= answers(folder).items()
    assert answers(folder).keys() == {name for name in answers(out) if name in answers(folder)}
    assert rows(folder) == rows(out)


HEARS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""Who runs tests in the background ignores Ctrl-C, and so would what they start."""


def test_ctrl_c_says_that_the_same_command_goes_on(command: list[str], out: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for name in ("rows", "index"):
        shutil.copytree(out / name, folder / name)
    shutil.copy(out / "shoal.json", folder)
    child = subprocess.Popen(
        [sys.executable, "-c", f"{HEARS}; from shoal.cli import main; main()", *command, "--out", str(folder)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, "SHOAL_MLFLOW": "off"},
    )  # fmt: skip
    table = folder / "tuning" / "tuning_results_all.csv"
    while not table.exists() and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    told = child.communicate(timeout=60)[1]
    assert child.returncode == 1
    assert "the same command goes on" in told
    assert rows(folder) == rows(out)[: len(rows(folder))] != []
