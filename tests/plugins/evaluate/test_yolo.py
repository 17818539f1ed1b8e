"""`evaluate.yolo`: classes by cluster, names from the set, and label files that mean no good."""

import csv
import os
import time
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.contract import Context
from shoal_plugins.evaluate._labels import class_names, read_label
from shoal_plugins.evaluate.yolo import Yolo

BOX = ".5 .5 .1 .1"


def write(path: Path, text: str | bytes = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows(paths: list[list[Path]], clusters: list[int]) -> pa.Table:
    return pa.table(
        {
            "id": [f"{number:064x}" for number in range(len(paths))],
            "paths": pa.array([[str(path) for path in some] for some in paths], pa.list_(pa.string())),
            "cluster": pa.array(clusters, pa.int32()),
        }
    )


def lines(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.fixture
def made(tmp_path: Path) -> pa.Table:
    """Five images in two clusters and the noise: two classes with names, one without."""
    images = [[write(tmp_path / "set/img" / f"{name}.jpg")] for name in "abcde"]
    write(tmp_path / "set/classes.txt", "cat\r\n=cmd|' /C calc'!A0\n")
    write(tmp_path / "set/lab/a.txt", f"0 {BOX}\n0 {BOX} 0.9\n1 {BOX}\n\n")
    write(tmp_path / "set/lab/b.txt", f"7 {BOX}\r\n0 0.1 0.1 0.2 0.1 0.2 0.2\n")
    write(tmp_path / "set/lab/c.txt", "")
    write(tmp_path / "set/lab/e.txt", f"1 {BOX}\n")
    return rows(images, [0, 0, 1, 1, -1])


def test_classes_are_counted_by_cluster(made: pa.Table, tmp_path: Path) -> None:
    notes: dict[str, object] = {}
    (tmp_path / "files").mkdir()
    table = Yolo().run(made, Context(folder=tmp_path / "files", note=notes.__setitem__))
    formula = "=cmd|' /C calc'!A0"
    assert table.to_pylist() == [
        {
            "cluster": 0, "images_with_label": 2, "images_without_label": 0, "malformed_labels": 0, "boxes": 5,
            "classes": [
                {"class": 0, "name": "cat", "boxes": 3, "images": 2},
                {"class": 1, "name": formula, "boxes": 1, "images": 1},
                {"class": 7, "name": "", "boxes": 1, "images": 1},
            ],
        },
        {
            "cluster": 1, "images_with_label": 1, "images_without_label": 1, "malformed_labels": 0, "boxes": 0,
            "classes": [],
        },
    ]  # fmt: skip
    assert lines(tmp_path / "files/yolo_classes.csv") == [
        ["class", "name", "boxes", "images", "noise", "0", "1"],
        ["0", "cat", "3", "2", "0", "3", "0"],
        ["1", f"'{formula}", "2", "2", "1", "1", "0"],
        ["7", "", "1", "1", "0", "1", "0"],
    ]
    lost = [str(tmp_path / "set/img/d.jpg"), str(tmp_path / "set/lab/d.txt")]
    assert lines(tmp_path / "files/yolo_missing.csv") == [["image", "label"], lost]
    assert lines(tmp_path / "files/yolo_malformed.csv") == [["label", "reason"]]
    assert notes["missing"] == lost[:1]
    assert notes["metrics"] == {
        "images_with_label": 4, "images_without_label": 1, "malformed_labels": 0, "boxes": 6, "classes": 3,
    }  # fmt: skip


def test_sets_that_number_their_classes_otherwise_are_kept_apart(tmp_path: Path) -> None:
    images = []
    for name, names in (("one", "names: [cat, dog]"), ("two", "names: {0: bus, 1: [x], x: y}\nnc: 1")):
        images.append([write(tmp_path / name / "images/train/a.jpg")])
        write(tmp_path / name / "labels/train/a.txt", f"0 {BOX}\n")
        write(tmp_path / name / "data.yaml", names)
    table = Yolo(images="images", labels="labels").run(rows(images, [0, 0]), Context())
    assert [(entry["class"], entry["name"]) for entry in table["classes"].to_pylist()[0]] == [(0, "bus"), (0, "cat")]


def test_an_image_at_two_paths_is_counted_by_the_one_with_a_label(tmp_path: Path) -> None:
    paths = [write(tmp_path / place / "img/a.jpg") for place in ("1", "2")]
    write(tmp_path / "2/lab/a.txt", f"3 {BOX}\n")
    table = Yolo().run(rows([[paths[1], paths[0]]], [0]), Context())
    assert table["images_with_label"].to_pylist() == [1]
    assert table["boxes"].to_pylist() == [1]


@pytest.mark.parametrize(
    ("content", "boxes", "problem"),
    [
        (b"", 0, None),
        (f"0 {BOX}".encode(), 1, None),
        (b"\xef\xbb\xbf" + f"0 {BOX}".encode(), 1, None),
        (b"0 0.5 0.5 0.1\n", 0, "line 1 is no class number and four numbers"),
        (f"cat {BOX}\n0 {BOX}\n-1 {BOX}\n".encode(), 1, "line 1 is no class number and four numbers (and 1 more lines)"),
        (f"0.0 {BOX}\n".encode(), 0, "line 1 is"),
        (b"0 nan 0 0 0\n", 0, "line 1 is"),
        (b"0 1e999 0 0 0\n", 0, "line 1 is"),
        (b"9" * 5000 + b" 0 0 0 0\n", 0, "line 1 is"),
        ("\u0663 0 0 0 0\n".encode(), 0, "line 1 is"),
        (b"\xff\xfe0 1", 0, "it is no text in UTF-8"),
        (b"\0" * 100, 0, "it is no text"),
        (b"0 .5 .5 .1 .1\n" * 10**6, 0, "it is larger than 1,024 KB and was not read"),
        (b"0 " + b"1" * (2**20 - 10), 0, "line 1 is"),
    ],
)  # fmt: skip
def test_a_label_file(tmp_path: Path, content: bytes, boxes: int, problem: str | None) -> None:
    began = time.process_time()
    label = read_label(str(write(tmp_path / "a.txt", content)), 2**20)
    assert time.process_time() - began < 5
    assert label.boxes.total() == boxes
    assert (label.problem or "").startswith(problem or "")
    assert (label.problem is None) == (problem is None)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_label_file_or_a_problem(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(data)
    label = read_label(str(path), 200)
    assert label.boxes.total() <= data.count(b"\n") + 1
    assert len(data) <= 200 or label.problem == "it is larger than 0 KB and was not read"
    path.rename(path.with_name("data.yaml"))
    assert all(len(name) <= 80 for name in class_names((str(path.with_name("data.yaml")),))[0].values())


def test_what_is_no_file_is_no_wait(tmp_path: Path) -> None:
    (tmp_path / "folder.txt").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "nowhere.txt").symlink_to(tmp_path / "gone")
    (tmp_path / "endless.txt").symlink_to("/dev/zero")
    said = {path.name: read_label(str(path), 1000).problem for path in sorted(tmp_path.iterdir())}
    assert said == {
        "endless.txt": "it is no regular file",
        "folder.txt": "it is no regular file",
        "nowhere.txt": "it can't be read: No such file or directory",
        "pipe.txt": "it is no regular file",
    }


@pytest.mark.parametrize(
    "text",
    [
        "names: " + "[" * 60_000,
        "{" * 60_000,
        "a: &a [x]\n" + "".join(f"b{n}: &b{n} {{<<: [*a, *a]}}\n" for n in range(2000)),
        "names: !!python/object/apply:os.system [touch hacked]",
        "names: \x00",
        "names: *nobody",
    ],
)
def test_class_files_that_mean_no_good(tmp_path: Path, text: str) -> None:
    began = time.process_time()
    names, _, _ = class_names((str(write(tmp_path / "data.yaml", text)),))
    assert set(names.values()) <= {"touch hacked"}
    assert time.process_time() - began < 10
    assert not Path("hacked").exists()


def test_names_are_plain_and_short(tmp_path: Path) -> None:
    path = write(tmp_path / "classes.txt", f"\x1b[31mred\x1b[0m\n\n{'x' * 500}\n")
    names, problem, _ = class_names((str(tmp_path / "none.txt"), str(path)))
    assert names == {0: "red", 2: "x" * 79 + "…"}
    assert problem is None


def test_malformed_labels_are_named_and_never_fatal(tmp_path: Path) -> None:
    images = [[write(tmp_path / "img" / f"{name}.jpg")] for name in "ab"]
    write(tmp_path / "lab/a.txt", b"\0")
    write(tmp_path / "lab/b.txt", f"x\n0 {BOX}\n")
    write(tmp_path / "lab/classes.txt", b"\xff")
    notes: dict[str, dict[str, str]] = {}
    table = Yolo().run(rows(images, [0, 0]), Context(folder=tmp_path, note=notes.__setitem__))
    assert table.select(["images_with_label", "malformed_labels", "boxes"]).to_pylist() == [
        {"images_with_label": 2, "malformed_labels": 2, "boxes": 1}
    ]
    assert {Path(path).name for path in notes["malformed"]} == {"a.txt", "b.txt", "classes.txt"}
    assert len(lines(tmp_path / "yolo_malformed.csv")) == 4


def test_changed_labels_are_read_anew(made: pa.Table, tmp_path: Path) -> None:
    seen = [Yolo().outside(made), Yolo().outside(made)]
    write(tmp_path / "set/lab/d.txt", f"0 {BOX}\n")
    seen.append(Yolo().outside(made))
    os.utime(tmp_path / "set/classes.txt", (0, 0))
    seen.append(Yolo().outside(made))
    assert seen[0] == seen[1]
    assert len(set(seen)) == 3
