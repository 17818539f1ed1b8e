"""The main job on real photographs, as a user gives it: run, look, organise, undo, export."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

import shoal as package
from shoal.runner import RunOptions

from ..conftest import Shoal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CLASSES = {"monuments", "tools", "renewable", "fishes", "animal", "music", "planet"}


@pytest.fixture(scope="module")
def photos(photo_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the photo set, whose files a test may move if it gives them back."""
    return Path(shutil.copytree(photo_set, tmp_path_factory.mktemp("quickstart") / "photos"))


@pytest.fixture(scope="module")
def out(photos: Path, shoal: Shoal) -> Path:
    folder = photos.parent / "out"
    shoal("run", "quickstart", photos, "--out", folder, env={"SHOAL_MLFLOW": "on"})
    return folder


def test_clusters_are_what_people_would_make(out: Path) -> None:
    from sklearn.metrics import normalized_mutual_info_score

    run = package.open(out)
    rows = run.joined(["path", "cluster"])
    truth = [Path(path).parent.name for path in rows["path"].to_pylist()]
    clusters = rows["cluster"].to_pylist()
    assert set(truth) == CLASSES
    kept = [(name, cluster) for name, cluster in zip(truth, clusters, strict=True) if cluster >= 0]
    members: dict[int, list[str]] = {}
    for name, cluster in kept:
        members.setdefault(cluster, []).append(name)
    pure = sum(max(names.count(name) for name in set(names)) for names in members.values())
    assert normalized_mutual_info_score(truth, clusters) >= 0.80
    assert pure / len(kept) >= 0.93
    assert clusters.count(-1) / len(clusters) <= 0.10


def test_names_fit(out: Path) -> None:
    run = package.open(out)
    rows = run.joined(["path", "label"])
    labels: dict[str, set[str]] = {}
    for path, label in zip(rows["path"].to_pylist(), rows["label"].to_pylist(), strict=True):
        labels.setdefault(Path(path).parent.name, set()).add(label or "")
    assert any("fish" in label for label in labels["fishes"])
    assert any("tool" in label for label in labels["tools"])
    assert any(word in label for label in labels["monuments"] for word in ("monument", "building", "palace", "tower"))
    assert any("animal" in label or "mammal" in label for label in labels["animal"])
    assert labels["planet"] == {"planets"}, "ImageNet has no word for planets, but file names have"
    assert "windmill" in labels["renewable"], "nor for windmills, which it calls towers"


def test_the_work_went_through_ray(out: Path) -> None:
    step = package.open(out).record.step("embed")
    assert step is not None
    assert step.where.startswith("ray: ")
    assert step.backend.startswith("onnxruntime")


def test_a_second_run_is_from_the_store_alone(out: Path, photos: Path, shoal: Shoal) -> None:
    record = json.loads(shoal("run", "quickstart", photos, "--out", out, "--json").stdout)
    assert {step["computed"] for step in record["steps"]} == {0}
    assert record["startup"] == 0, "no Ray is started where there is nothing to compute"


def test_in_this_process_the_tables_are_the_same(out: Path, photos: Path, tmp_path: Path) -> None:
    there = package.open(out)
    here = package.run("quickstart", photos, tmp_path / "local", options=RunOptions(where="local"))
    for step in ("embed", "reduce", "cluster", "sample", "label"):
        assert here.table(step).equals(there.table(step)), step


def test_looking_at_it(out: Path, shoal: Shoal) -> None:
    assert "done" in shoal("runs", out).stdout
    shown = shoal("show", out).stdout
    assert "embed.lite0" in shown
    assert "fish" in shown
    assert "2 of 216 files rejected" in shoal("rejected", out).stdout
    report = Path(shoal("report", out).stdout.strip())
    text = report.read_text()
    assert "fish" in text
    assert "Content-Security-Policy" in text
    assert (out / "mlflow.db").exists()


@pytest.mark.parametrize("mode", ["copy", "move", "hardlink"])
def test_organise_and_undo(out: Path, photos: Path, tmp_path: Path, shoal: Shoal, mode: str) -> None:
    before, sorted_ = state(photos), tmp_path / "sorted"
    assert len(before) == 214, "a test before this one gave every file back"
    preview = shoal("organize", out, "--to", sorted_, "--mode", mode, "--dry-run").stdout
    assert "214 files" in preview
    assert not sorted_.exists()
    shoal("organize", out, "--to", sorted_, "--mode", mode, "--yes")
    files = list(sorted_.rglob("*.webp"))
    assert len(files) == 214
    assert any("@fish@" in path.name for path in files)
    assert len(list(photos.rglob("*.webp"))) == (0 if mode == "move" else 214)
    shoal("undo", sorted_)
    assert state(photos) == before
    assert not list(sorted_.rglob("*.webp"))
    assert "nothing to undo" in shoal("undo", sorted_).stdout


def state(folder: Path) -> dict[str, tuple[str, int]]:
    found = {}
    for path in sorted(folder.rglob("*.webp")):
        found[str(path.relative_to(folder))] = (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
    return found


@pytest.mark.parametrize("how", ["workflow", "csv", "parquet"])
def test_export(out: Path, tmp_path: Path, shoal: Shoal, how: str) -> None:
    files = shoal("export", out, "--as", how, "--to", tmp_path / how).stdout.split()
    assert files
    assert all(Path(file).stat().st_size for file in files if not file.endswith("S7_user_edits.log"))  # nobody edited yet
    if how == "workflow":
        index = json.loads((tmp_path / how / "S0_image_index.json").read_text())
        assert len(index) == 214
        assert all(os.path.isabs(path) for path in index.values())


@pytest.mark.timeout(600)
def test_seeds_agree(photo_set: Path, tmp_path: Path) -> None:
    """The median over seeds is what a user may expect of a seed that nobody chose."""
    from statistics import median

    from sklearn.metrics import normalized_mutual_info_score

    scores = []
    for seed in range(5):
        run = package.run(
            "quickstart", photo_set, tmp_path / "out", overrides=[f"reduce.seed={seed}"], options=RunOptions(where="local")
        )
        rows = run.joined(["path", "cluster"])
        truth = [Path(path).parent.name for path in rows["path"].to_pylist()]
        scores.append(normalized_mutual_info_score(truth, rows["cluster"].to_pylist()))
    assert median(scores) >= 0.78, scores
