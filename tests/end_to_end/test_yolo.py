"""A YOLO set from end to end: clustered, classes counted, moved with its labels, and taken back to the last nanosecond."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

import shoal as package

from ..conftest import Shoal
from ..journal.sets import Entry, folders, snapshot

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

COUNT, MISSING = 120, 7
PIPELINE = """shoal: 1
name: labelled
steps:
  - use: index.folder
  - use: embed.lite0
  - use: cluster.kmeans
    with: {k: 5}
  - use: evaluate.yolo
"""


@pytest.fixture(scope="module")
def ran(yolo_set: Path, tmp_path_factory: pytest.TempPathFactory, shoal: Shoal) -> Path:
    """A folder with a copy of the set in `set`, clustered into `out`."""
    folder = tmp_path_factory.mktemp("yolo")
    shutil.copytree(yolo_set, folder / "set")
    (folder / "pipeline.yaml").write_text(PIPELINE)
    for number, path in enumerate(sorted((folder / "set").rglob("*.*"))):
        os.utime(path, ns=(1_500_000_000_000_000_000, 1_400_000_000_123_456_789 + number))
    shoal("run", "pipeline.yaml", "set", "--out", "out", cwd=folder)
    return folder


@pytest.fixture
def work(ran: Path, tmp_path: Path) -> Path:
    """The same folder to the test; the set is as it was, whatever a test before did."""
    assert len(list((ran / "set/img").iterdir())) == COUNT
    shutil.rmtree(ran / "sorted", ignore_errors=True)
    return ran


def labels_of(folder: Path) -> dict[str, list[str]]:
    return {path.stem: path.read_text().splitlines() for path in (folder / "lab").glob("*.txt")}


def test_classes_are_counted_as_the_label_files_say(work: Path) -> None:
    run = package.open(work / "out")
    table = run.table("evaluate")
    said = labels_of(work / "set")
    total = sum(len(lines) for lines in said.values())
    names = (work / "set/classes.txt").read_text().split()
    record = run.record.step("evaluate")
    assert record is not None
    metrics = record.notes["metrics"]
    assert metrics == {
        "images_with_label": COUNT - MISSING, "images_without_label": MISSING, "malformed_labels": 0, "boxes": total,
        "classes": len(names),
    }  # fmt: skip
    assert sum(table["boxes"].to_pylist()) == total
    assert sum(table["images_without_label"].to_pylist()) == MISSING
    clusters = dict(zip(run.joined(["path", "cluster"])["path"].to_pylist(), run.joined(["cluster"])["cluster"].to_pylist(),
                        strict=True))  # fmt: skip
    for row in table.to_pylist():
        mine = [Path(path).stem for path, cluster in clusters.items() if cluster == row["cluster"]]
        for entry in row["classes"]:
            numbers = [line.split()[0] for stem in mine for line in said.get(stem, [])]
            assert numbers.count(str(entry["class"])) == entry["boxes"]
            assert entry["name"] == names[entry["class"]]
    (written,) = work.joinpath("out").rglob("yolo_classes.csv")
    with written.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["name"] for line in lines] == names
    assert sum(int(line["boxes"]) for line in lines) == total


def test_the_tables_are_exported(work: Path, shoal: Shoal, tmp_path: Path) -> None:
    shoal("export", "out", "--as", "structural", "--to", tmp_path / "files", cwd=work)
    with (tmp_path / "files/yolo_missing.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == MISSING
    assert all(Path(line["image"]).is_file() and not Path(line["label"]).exists() for line in lines)
    assert (tmp_path / "files/yolo_malformed.csv").read_text() == "label,reason\n"


def test_labels_that_change_are_counted_anew_and_nothing_else_is(work: Path, shoal: Shoal) -> None:
    path = min((work / "set/lab").iterdir())
    text, times = path.read_text(), path.stat()
    path.write_text(text + "3 0.5 0.5 0.1 0.1\n")
    shoal("run", "pipeline.yaml", "set", "--out", "out", cwd=work)
    record = package.open(work / "out").record
    assert {step.step: step.computed for step in record.steps if step.computed} == {"evaluate": COUNT}
    changed = record.step("evaluate")
    path.write_text(text)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    shoal("run", "pipeline.yaml", "set", "--out", "out", cwd=work)
    back = package.open(work / "out").record.step("evaluate")
    assert changed is not None
    assert back is not None
    assert back.where == "cached"
    assert changed.notes["metrics"]["boxes"] == back.notes["metrics"]["boxes"] + 1


@pytest.mark.parametrize("mode", ["copy", "move", "hardlink"])
def test_pairs_stay_pairs_and_go_back(work: Path, shoal: Shoal, mode: str) -> None:
    before, places = snapshot(work / "set"), folders(work / "set")
    told = ("organize", "out", "--to", "sorted", "--mode", mode, "--rule", "cluster_id", "--yolo")
    plan = json.loads(shoal(*told, "--dry-run", "--json", cwd=work).stdout)
    without = {Path(row["source"]).stem for row in plan if row["missing"]}
    assert without == {path.stem for path in (work / "set/img").iterdir()} - labels_of(work / "set").keys()
    done = shoal(*told, "--yes", "--json", cwd=work)
    assert f"{MISSING} images without a label file" in done.stderr
    receipts = json.loads(done.stdout)
    assert {row["status"] for row in receipts} == {"done"}
    assert {Path(row["source"]).stem for row in receipts if row["missing"]} == without

    after: dict[str, Entry] = snapshot(work / "sorted")
    assert len(after) == len(receipts) == 2 * COUNT - MISSING
    images = {path for path in after if path.split("/")[1] == "img"}
    for path in images:
        cluster, _, name = path.split("/")
        assert cluster.startswith("cluster_")
        assert len(cluster) == len("cluster_000")
        assert after[path] == before[f"img/{name}"]
        stem = Path(name).stem
        label = f"{cluster}/lab/{stem}.txt"
        assert (label in after) == (stem not in without)
        if label in after:
            assert after[label] == before[f"lab/{stem}.txt"]
    assert len(images) == COUNT
    left = snapshot(work / "set")
    assert left == ({path: entry for path, entry in before.items() if "/" not in path} if mode == "move" else before)

    log = next(work.joinpath("out").rglob("organization_log.txt")).read_text()
    assert log.count("missing: ") == MISSING
    again = shoal(*told, "--yes", cwd=work)
    assert "there already" in again.stdout
    assert ("without a label file" in again.stderr) == (mode != "move")  # what was moved is not missing
    shoal("undo", "sorted", cwd=work)
    assert snapshot(work / "set") == before
    assert folders(work / "set") == places
    assert snapshot(work / "sorted") == {}


def test_other_names_of_the_folders(work: Path, shoal: Shoal, tmp_path: Path) -> None:
    for old, new in (("img", "images"), ("lab", "labels")):
        shutil.copytree(work / "set" / old, tmp_path / "set" / new / "train")
    shutil.copy(work / "set/classes.txt", tmp_path / "set")
    names = ("images=images", "labels=labels")
    own = [word for name in names for word in ("--set", f"evaluate.{name}")]
    shoal("run", work / "pipeline.yaml", "set", "--out", work / "out", *own, cwd=tmp_path)
    record = package.open(work / "out").record.step("evaluate")
    assert record is not None
    assert record.notes["metrics"]["images_with_label"] == COUNT - MISSING
    own = [word for name in names for word in ("--set", f"yolo_{name}")]
    shoal("organize", work / "out", "--to", "sorted", "--yolo", *own, "--yes", cwd=tmp_path)
    found = snapshot(tmp_path / "sorted")
    assert {path.split("/")[1] for path in found} == {"images", "labels"}
    assert len(found) == 2 * COUNT - MISSING
    wrong = shoal("organize", work / "out", "--to", "x", "--yolo", "--set", "yolo_image=a", "--yes", cwd=tmp_path, code=2)
    assert "yolo_images" in wrong.stderr
