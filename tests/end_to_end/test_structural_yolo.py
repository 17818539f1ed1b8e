"""The recipe structural-clusters and the tuner on a composed YOLO set: clusters, folders of pairs, a tuned run."""

import json
from pathlib import Path

import pytest

import shoal as package

from ..conftest import Shoal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SMALL = ("--set", "cluster.min_cluster_size=5", "--set", "cluster.min_samples=3", "--set", "cluster.noise=nearest")


@pytest.fixture(scope="module")
def out(yolo_set: Path, tmp_path_factory: pytest.TempPathFactory, shoal: Shoal) -> Path:
    folder = tmp_path_factory.mktemp("structural") / "out"
    shoal("run", "structural-clusters", yolo_set / "img", "--out", folder, *SMALL)
    return folder


def test_the_set_is_clustered_judged_and_laid_out_with_its_labels(
    out: Path, yolo_set: Path, tmp_path: Path, shoal: Shoal
) -> None:
    run = package.open(out)
    assert run.record.images == 120
    assert run.record.clusters >= 2
    assert run.record.noise == 0
    purity = run.record.step("purity")
    assert purity is not None
    assert purity.notes["verdict"] in ("PASS", "FAIL")
    sorted_ = tmp_path / "sorted"
    shoal("organize", out, "--to", sorted_, "--yolo", "--set", "rule=cluster_id", "--yes")
    images, labels = list(sorted_.glob("cluster_*/img/*")), list(sorted_.glob("cluster_*/lab/*.txt"))
    assert (len(images), len(labels)) == (120, 113)
    assert {path.stem for path in labels} <= {path.stem for path in images}
    shoal("undo", sorted_)
    assert not list(sorted_.glob("cluster_*/*/*"))


def test_the_tuner_goes_over_the_same_features(out: Path, yolo_set: Path, shoal: Shoal) -> None:
    words = ("structural-clusters", yolo_set / "img", "--out", out, *SMALL)
    shoal("tune", *words, "--budget", "6", "--generation", "3", "--on", "local")
    summary = json.loads((out / "tuning" / "tuning_summary_latest.json").read_text())
    best = int(summary["best"]["number"])
    before = package.open(out).record.id
    shoal("run", "--from-trial", best, "--out", out)
    made = package.open(out)
    assert made.record.id != before
    embed, cluster = made.record.step("embed"), made.record.step("cluster")
    assert embed is not None
    assert cluster is not None
    assert (embed.computed, cluster.computed) == (0, 0), "features and the candidate's clusters were kept"
    assert made.record.clusters == summary["best"]["clusters"]
