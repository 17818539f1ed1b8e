"""`organize.folders` with `yolo`: pairs stay pairs, under one name, wherever the folders lie; missing labels are told."""

import hashlib
import os
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from shoal import journal
from shoal.contract import Context
from shoal.journal import steps
from shoal_plugins.organize._yolo import Layout
from shoal_plugins.organize.folders import Folders

from .test_folders import table


def image(path: Path, label: str | None = None, folders: tuple[str, str] = ("img", "lab")) -> tuple[str, list[str]]:
    """Write an image of bytes of its own, and its label where one is given; return id and paths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"image {path}".encode())
    if label is not None:
        beside = Path(str(path).replace(f"/{folders[0]}/", f"/{folders[1]}/")).with_suffix(".txt")
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(label)
    return hashlib.sha256(path.read_bytes()).hexdigest(), [str(path)]


def plan(stage: Folders, images: list[tuple[str, list[str]]], clusters: list[int]) -> pa.Table:
    rows = [(key, paths, cluster, None) for (key, paths), cluster in zip(images, clusters, strict=True)]
    return stage.run(table(rows), Context())


def by_source(planned: pa.Table, folder: Path) -> dict[str, str]:
    pairs = zip(planned["source"].to_pylist(), planned["target"].to_pylist(), strict=True)
    return {source.removeprefix(f"{folder}/"): target for source, target in pairs}


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/data/img/a.jpg", "/data/lab/a.txt"),
        ("/img/a.b.jpeg", "/lab/a.b.txt"),
        ("/data/img/x/img/day 1/a.jpg", "/data/img/x/lab/day 1/a.txt"),
        ("/data/img/img.jpg", "/data/lab/img.txt"),
        ("/data/imgs/a.jpg", None),
        ("/data/IMG/a.jpg", None),
        ("/data/a/img", None),
        ("s3://bucket/img/a.jpg", None),
    ],
)
def test_where_a_label_belongs(path: str, label: str | None) -> None:
    assert Layout().label_of(path) == label


def test_other_names_of_the_folders() -> None:
    layout = Layout("images", "labels", ".xml")
    assert layout.label_of("/coco/images/train/1.jpg") == "/coco/labels/train/1.xml"
    assert layout.root_of("/coco/images/train/1.jpg") == "/coco"
    assert layout.root_of("/images/1.jpg") == "/"
    assert layout.root_of("/coco/1.jpg") is None


def test_a_cluster_holds_both_folders_and_noise_too(tmp_path: Path) -> None:
    images = [image(tmp_path / "set/img" / name, "0 .5 .5 .1 .1\n") for name in ("a.jpg", "b.jpg")]
    images += [image(tmp_path / "set/img/c.jpg"), image(tmp_path / "loose.jpg")]
    found = plan(Folders(rule="cluster_id", yolo=True), images, [0, -1, 2, 2])
    assert by_source(found, tmp_path) == {
        "set/img/a.jpg": "cluster_000/img/a.jpg",
        "set/lab/a.txt": "cluster_000/lab/a.txt",
        "set/img/b.jpg": "noise/img/b.jpg",
        "set/lab/b.txt": "noise/lab/b.txt",
        "set/img/c.jpg": "cluster_002/img/c.jpg",
        "loose.jpg": "cluster_002/img/loose.jpg",
    }
    missing = dict(zip(found["source"].to_pylist(), found["missing"].to_pylist(), strict=True))
    assert {source: reason for source, reason in missing.items() if reason} == {
        str(tmp_path / "set/img/c.jpg"): str(tmp_path / "set/lab/c.txt"),
        str(tmp_path / "loose.jpg"): "no folder 'img' in its path",
    }


def test_without_yolo_files_lie_in_the_folder_of_their_cluster(tmp_path: Path) -> None:
    images = [image(tmp_path / "img/a.jpg", "0"), image(tmp_path / "img/b.jpg", "0")]
    found = plan(Folders(rule="cluster_id"), images, [0, 1000])
    assert by_source(found, tmp_path) == {"img/a.jpg": "cluster_0000/a.jpg", "img/b.jpg": "cluster_1000/b.jpg"}
    assert found["missing"].null_count == found.num_rows


def test_a_pair_gets_one_counter_and_images_of_one_stem_a_label_each(tmp_path: Path) -> None:
    images = [image(tmp_path / place / "img/a.jpg", place) for place in ("1", "2")]
    images.append(image(tmp_path / "2/img/a.png"))
    found = plan(Folders(rule="cluster_id", yolo=True), images, [0, 0, 0])
    pairs: dict[str, set[str]] = {}
    for row in found.to_pylist():
        pairs.setdefault(row["id"], set()).add(Path(row["target"]).stem)
    assert sorted(pairs.values(), key=min) == [{"a"}, {"a_1"}, {"a_2"}]
    receipts = journal.organize(found, tmp_path / "out", "move")
    assert receipts.counts == {"done": 6}
    for row in found.to_pylist():
        if row["sidecar"]:
            owner = next(other for other in found.to_pylist() if other["id"] == row["id"] and not other["sidecar"])
            place = owner["source"].removeprefix(f"{tmp_path}/")[0]
            assert (tmp_path / "out" / row["target"]).read_text() == place
    assert not list(tmp_path.glob("[12]/*/*"))
    journal.undo(tmp_path / "out")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("[12]/*/*")) == [
        "1/img/a.jpg", "1/lab/a.txt", "2/img/a.jpg", "2/img/a.png", "2/lab/a.txt",
    ]  # fmt: skip


@pytest.mark.parametrize("mode", ["copy", "move", "hardlink"])
def test_a_name_taken_in_either_folder_moves_both(tmp_path: Path, mode: journal.Mode) -> None:
    images = [image(tmp_path / "img" / name, name) for name in ("a.jpg", "b.jpg")]
    for name in ("img/a.jpg", "lab/B.txt"):
        place = tmp_path / "out/cluster_000" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("somebody else's")
    receipts = journal.organize(plan(Folders(rule="cluster_id", yolo=True), images, [0, 0]), tmp_path / "out", mode)
    names = sorted(target.removeprefix("cluster_000/") for target in receipts.table["target"].to_pylist())
    assert names == ["img/a_1.jpg", "img/b_1.jpg", "lab/a_1.txt", "lab/b_1.txt"]
    assert (tmp_path / "out/cluster_000/lab/a_1.txt").read_text() == "a.jpg"


def test_a_label_that_comes_after_its_image_was_moved_follows_it(tmp_path: Path) -> None:
    images = [image(tmp_path / "img/a.jpg")]
    (tmp_path / "out/cluster_000/img").mkdir(parents=True)
    (tmp_path / "out/cluster_000/img/a.jpg").write_text("somebody else's")
    stage = Folders(rule="cluster_id", yolo=True)
    journal.organize(plan(stage, images, [0]), tmp_path / "out", "move")
    again = plan(stage, images, [0])
    assert again["missing"].to_pylist() == [None]  # it was told when the image was there
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/a.txt").write_text("late")
    receipts = journal.organize(plan(stage, images, [7]), tmp_path / "out", "move")  # another clustering meanwhile
    assert receipts.counts == {"done": 1, "present": 1}
    assert (tmp_path / "out/cluster_000/img/a_1.jpg").exists()
    assert (tmp_path / "out/cluster_000/lab/a_1.txt").read_text() == "late"


def test_a_label_that_can_not_go_gives_a_reason_and_stays(tmp_path: Path) -> None:
    images = [image(tmp_path / "img" / f"{name}.jpg", name) for name in "abcd"]
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("kept")
    for name in "bcd":
        (tmp_path / "lab" / f"{name}.txt").unlink()
    (tmp_path / "lab/b.txt").symlink_to(elsewhere)
    (tmp_path / "lab/c.txt").mkdir()
    os.mkfifo(tmp_path / "lab/d.txt")
    found = plan(Folders(yolo=True), images, [0, 0, 0, 0])
    (tmp_path / "lab/a.txt").unlink()
    receipts = journal.organize(found, tmp_path / "out", "move")
    reasons = {Path(row["source"]).name: row["reason"] for row in receipts.table.to_pylist() if row["status"] == "failed"}
    assert reasons == {
        "a.txt": "the source vanished",
        "b.txt": "the source is a symbolic link, which is not moved; take copy or hardlink",
        "c.txt": "the source is no regular file",
        "d.txt": "the source is no regular file",
    }
    assert receipts.counts == {"done": 4, "failed": 4}
    assert (tmp_path / "lab/b.txt").read_text() == "kept"
    assert (tmp_path / "lab/c.txt").is_dir()


@pytest.mark.parametrize("mode", ["copy", "move", "hardlink"])
def test_a_label_that_changes_meanwhile_stays_and_is_taken_along_by_the_same_call(
    tmp_path: Path, mode: journal.Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, stage, label = [image(tmp_path / "img/a.jpg", "old")], Folders(yolo=True), tmp_path / "lab/a.txt"

    def edit(step: str) -> None:
        if step == "planned":
            label.write_text("edited while files were organised")

    with monkeypatch.context() as patch:
        patch.setattr(steps, "on_step", edit)
        receipts = journal.organize(plan(stage, images, [0]), tmp_path / "out", mode)
    assert receipts.counts == {"done": 1, "failed": 1}
    assert [row["reason"] for row in receipts.table.to_pylist() if row["reason"]] == [
        "it changed while files were organised; it was left alone, organise again to take it along"
    ]
    assert label.read_text().startswith("edited")
    assert journal.organize(plan(stage, images, [0]), tmp_path / "out", mode).counts == {"done": 1, "present": 1}
    (moved,) = (tmp_path / "out").rglob("*.txt")
    assert moved.read_text().startswith("edited")
    while journal.undo(tmp_path / "out"):
        pass
    assert label.read_text().startswith("edited")
    assert Path(images[0][1][0]).is_file()


def test_a_kept_plan_counts_only_while_the_same_files_are_there(tmp_path: Path) -> None:
    key, paths = image(tmp_path / "img/a.jpg")
    rows = table([(key, paths, 0, None)])
    stages = {"yolo": Folders(yolo=True), "beside": Folders(sidecars=(".txt",)), "plain": Folders()}

    def look() -> dict[str, str]:
        return {name: stage.outside(rows) for name, stage in stages.items()}

    first = look()
    assert first["plain"] == ""
    assert look() == first
    (tmp_path / "img/a.txt").write_text("")
    second = look()
    assert {name for name in first if first[name] != second[name]} == {"beside"}
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/a.txt").write_text("")
    assert {name for name, value in look().items() if value != second[name]} == {"yolo"}


@pytest.mark.parametrize(
    "options",
    [{"yolo_images": "a/b"}, {"yolo_images": ".."}, {"yolo_labels": ""}, {"yolo_labels": "IMG"}, {"yolo_extension": "txt"},
     {"yolo_extension": "/../x"}],
)  # fmt: skip
def test_wrong_names_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Folders(yolo=True, **options)  # type: ignore[arg-type]
