"""The composed YOLO set: boxes are exact, the same options give the same bytes, nothing of somebody else is touched."""

import hashlib
import random
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image, ImageChops

from .conftest import SCRIPT, load_script


@pytest.fixture(scope="module")
def yolo() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPT.parent))
        module = load_script(SCRIPT.with_name("compose_yolo.py"))
    sys.modules.pop("fetch_photos", None)
    return module


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for place, size in (("day", (300, 200)), ("night", (900, 1200))):
        (folder / place).mkdir()
        Image.new("RGB", size, "white").save(folder / place / "white.png")
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def boxes_of(path: Path, width: int, height: int) -> list[tuple[int, ...]]:
    """Return class, left, top, right, bottom in pixels of each line of a label."""
    found = []
    for line in path.read_text().splitlines():
        number, x, y, w, h = (float(word) for word in line.split())
        edges = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
        found.append((int(number), *(round(edge) for edge in edges)))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_boxes_are_exact_to_the_pixel(yolo: ModuleType, tmp_path: Path, seed: int) -> None:
    photo = Image.new("RGB", (640, 457), (1, 2, 3))
    shapes = [(n, yolo._shape(name, "#c0ffee")) for n, name in enumerate(yolo.SHAPES)]
    made, boxes = yolo.compose(photo, shapes, random.Random(seed))
    assert len(boxes) >= 2
    left = ImageChops.difference(made, photo)
    for box in boxes:
        assert ImageChops.difference(made.crop(box[1:]), photo.crop(box[1:])).getbbox() == (
            0, 0, box.right - box.left, box.bottom - box.top,
        )  # fmt: skip
        left.paste("black", box[1:])
    assert left.getbbox() is None  # nothing was pasted outside of a box
    (tmp_path / "a.txt").write_text(yolo.label(boxes, *made.size))
    assert boxes_of(tmp_path / "a.txt", *made.size) == boxes


def test_a_set(yolo: ModuleType, photos: Path, tmp_path: Path) -> None:
    assert yolo.main([str(tmp_path / "a"), "--count=12", "--missing=3", "--photos", str(photos), "--stamps=drawn"]) == 0
    images = {path.stem for path in (tmp_path / "a/img").iterdir()}
    labels = {path.stem for path in (tmp_path / "a/lab").iterdir()}
    assert (len(images), len(labels), labels < images) == (12, 9, True)
    names = (tmp_path / "a/classes.txt").read_text().split()
    for path in (tmp_path / "a/lab").iterdir():
        with Image.open(tmp_path / "a/img" / f"{path.stem}.jpg") as image:
            size = image.size
        assert max(size) == 640
        for number, left, top, right, bottom in boxes_of(path, *size):
            assert 0 <= number < len(names)
            assert 0 <= left < right <= size[0]
            assert 0 <= top < bottom <= size[1]


def test_the_same_options_give_the_same_set(yolo: ModuleType, photos: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        yolo.make(tmp_path / name, yolo.Options(4, 1, seed, "drawn"), photos, tmp_path / "downloads")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert not set(contents(tmp_path / "a/img").values()) & set(contents(tmp_path / "c/img").values())


def test_again_is_nothing_and_half_a_set_is_finished(yolo: ModuleType, photos: Path, tmp_path: Path) -> None:
    options = yolo.Options(3, 0, 0, "drawn")
    yolo.make(tmp_path / "a", options, photos)
    whole = contents(tmp_path / "a")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")}
    assert yolo.make(tmp_path / "a", options, photos) == 3
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")}
    marker = tmp_path / "a" / yolo.MARKER
    marker.write_text(marker.read_text().replace("true", "false"))
    shutil.rmtree(tmp_path / "a/lab")
    yolo.make(tmp_path / "a", options, photos)
    assert contents(tmp_path / "a") == whole


def test_a_folder_of_somebody_else_is_refused(
    yolo: ModuleType, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert yolo.main([str(tmp_path), "--photos", str(photos), "--stamps=drawn"]) == 1
    assert "holds something else" in capsys.readouterr().err
    assert contents(tmp_path).keys() == {"mine.txt"}
    assert yolo.main([str(tmp_path / "new"), "--photos", str(tmp_path), "--stamps=drawn"]) == 1
    assert "holds no photo" in capsys.readouterr().err
