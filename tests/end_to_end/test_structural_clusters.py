"""The workflow for structure on real photographs: run, run again, look, write its files, start from an old configuration."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import shoal as package
from shoal.catalogue import Run

from ..conftest import Shoal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SMALL = ("--set", "cluster.min_cluster_size=8", "--set", "cluster.min_samples=5")
FILES = {
    "purity_report_latest.json", "centroid_cosine_matrix.npy", "interactive_scatter.html", "cluster_grid.png",
    "cluster_sizes.png", "preprocessing_comparison.png",
}  # fmt: skip
SECTIONS = ("scatter", "grid", "sizes", "preparation")


@pytest.fixture(scope="module")
def out(photo_set: Path, tmp_path_factory: pytest.TempPathFactory, shoal: Shoal) -> Path:
    folder = tmp_path_factory.mktemp("structural") / "out"
    made = shoal("run", "structural-clusters", photo_set, "--out", folder, *SMALL, "--json").stdout
    (folder.parent / "first").write_text(json.loads(made)["id"])
    return folder


@pytest.fixture
def run(out: Path) -> Run:
    """The first run; tests add others to the same store."""
    return package.open(out, (out.parent / "first").read_text())


def test_clusters_are_mostly_of_one_class(run: Run) -> None:
    """Greys and their negatives tell less than colours; what is grouped is still grouped rightly."""
    rows = run.joined(["path", "cluster"]).to_pylist()
    members: dict[int, list[str]] = {}
    for row in rows:
        if row["cluster"] >= 0:
            members.setdefault(row["cluster"], []).append(Path(row["path"]).parent.name)
    kept = sum(map(len, members.values()))
    pure = sum(max(names.count(name) for name in set(names)) for names in members.values())
    assert len(members) >= 6
    assert kept >= 0.6 * len(rows)
    assert pure >= 0.75 * kept


def test_the_record_says_how_clean_clusters_are(run: Run) -> None:
    step = run.record.step("purity")
    assert step is not None
    assert step.notes["verdict"] in ("PASS", "FAIL")
    metrics = step.notes["metrics"]
    assert {"max_centroid_cosine", "silhouette", "max_nn_cross_ratio"} <= metrics.keys()
    assert metrics["clusters"] == run.record.clusters == run.table("purity").num_rows


def test_a_second_run_is_from_the_store_alone(out: Path, photo_set: Path, shoal: Shoal) -> None:
    record = json.loads(shoal("run", "structural-clusters", photo_set, "--out", out, *SMALL, "--json").stdout)
    assert {step["computed"] for step in record["steps"]} == {0}


def test_other_clusters_compute_no_feature(out: Path, photo_set: Path, shoal: Shoal, run: Run) -> None:
    other = ("--set", "cluster.min_cluster_size=6", "--set", "cluster.min_samples=4", "--set", "cluster.noise=nearest")
    record = json.loads(shoal("run", "structural-clusters", photo_set, "--out", out, *other, "--json").stdout)
    computed = {step["step"]: step["computed"] for step in record["steps"]}
    assert [computed[step] for step in ("index", "thumbnail", "embed", "tags", "reduce")] == [0] * 5
    assert computed["cluster"] == 214
    assert record["noise"] == 0


def test_more_neighbours_than_a_cluster_has_images_are_refused(photo_set: Path, tmp_path: Path, shoal: Shoal) -> None:
    small = ("--set", "cluster.min_cluster_size=8")
    told = shoal("run", "structural-clusters", photo_set, "--out", tmp_path / "out", *small, code=2)
    assert "min_samples (10) is over min_cluster_size (8)" in told.stderr


def test_the_report_holds_every_section(run: Run, out: Path, shoal: Shoal) -> None:
    text = Path(shoal("report", out, "--run", run.id).stdout.strip()).read_text()
    for name in SECTIONS:
        step = run.record.step(name)
        assert step is not None
        assert str(step.options["heading"]) in text
    verdict = run.record.step("purity")
    assert verdict is not None
    assert verdict.notes["verdict"] in text


def test_the_workflows_files(run: Run, out: Path, tmp_path: Path, shoal: Shoal) -> None:
    files = tmp_path / "files"
    shoal("export", out, "--run", run.id, "--as", "structural", "--to", files)
    assert {path.name for path in files.iterdir()} >= FILES
    report = json.loads((files / "purity_report_latest.json").read_text())
    step = run.record.step("purity")
    assert step is not None
    assert report["verdict"] == step.notes["verdict"]
    matrix = np.load(files / "centroid_cosine_matrix.npy")
    clusters = run.record.clusters
    assert matrix.shape == (clusters, clusters)
    np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-5)


def test_clusters_lie_in_numbered_folders(run: Run, out: Path, tmp_path: Path, shoal: Shoal) -> None:
    target = tmp_path / "sorted"
    shoal("organize", out, "--run", run.id, "--to", target, "--rule", "cluster_id", "--yes")
    folders = {path.name for path in target.iterdir() if not path.name.startswith(".") and path.is_dir()}
    assert folders == {f"cluster_{number:03d}" for number in range(run.record.clusters or 0)} | {"noise"}
    shoal("undo", target)


def test_an_imported_configuration_gives_the_same_clusters(
    run: Run, out: Path, photo_set: Path, tmp_path: Path, shoal: Shoal
) -> None:
    """The file says nothing but what the run was given; the embedder is shoal's, which needs no download."""
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    space = {"min_cluster_size": [6, 8], "selection_method": ["leaf", "eom"]}
    old.write_text(yaml.safe_dump({"min_cluster_size": 8, "min_samples": 5, "tuning": {"search": "grid", "space": space}}))
    shoal("import-config", "--workflow", "structural-clusters", old, "--to", new, "--shoal-defaults")
    made = json.loads(shoal("run", new, photo_set, "--out", out, "--json").stdout)
    assert package.open(out, made["id"]).table("cluster").equals(run.table("cluster"))
    grid = ("--space", tmp_path / "new.space.yaml", "--search", "grid", "--budget", "4", "--json")
    tuned = json.loads(shoal("tune", new, photo_set, "--out", out, *grid).stdout)
    assert tuned["evaluated"] == 4
