import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shoal.contract import Context
from shoal.errors import StageError
from shoal.testing import check_stage
from shoal_plugins.visualize.map import Map
from tests.plugins.visualize.support import answer, jpeg, make_rows


def data_of(script: str) -> dict[str, Any]:
    found = re.search(r"^const DATA = (.*);$", script, flags=re.MULTILINE)
    assert found
    return json.loads(found[1])  # type: ignore[no-any-return]


def floats(text: str) -> list[float]:
    return np.frombuffer(base64.b64decode(text), dtype="<f4").tolist()  # type: ignore[no-any-return]


def integers(text: str) -> list[int]:
    return np.frombuffer(base64.b64decode(text), dtype="<i4").tolist()  # type: ignore[no-any-return]


def test_it_keeps_the_contract() -> None:
    check_stage(Map())
    check_stage(Map(inline=0))


def test_each_point_keeps_its_place_name_cluster_and_picture() -> None:
    pictures = [jpeg((60 * n, 0, 0)) for n in range(4)]
    rows = make_rows([0, 1, -1, 0], [[0, 5], [1, 6], [2, 7], [3, 8]], thumbnails=pictures)
    data = data_of(answer(Map(), rows)["script"])
    legend = [cluster["number"] for cluster in data["clusters"]]
    assert legend == [0, 1, -1]
    found = {
        name: (x, y, legend[which], base64.b64decode(picture))
        for name, x, y, which, picture in zip(
            data["names"],
            floats(data["x"]),
            floats(data["y"]),
            integers(data["which"]),
            data["pictures"]["data"],
            strict=True,
        )
    }
    assert found == {f"img_{n:04}.jpg": (n, n + 5, [0, 1, -1, 0][n], pictures[n]) for n in range(4)}


def test_noise_is_drawn_below_and_small_clusters_on_top() -> None:
    data = data_of(answer(Map(), make_rows([0, -1, 1, 0, 0, -1, 1]))["script"])
    legend = [cluster["number"] for cluster in data["clusters"]]
    assert [legend[which] for which in integers(data["which"])] == [-1, -1, 0, 0, 0, 1, 1]


def test_folders_are_written_once() -> None:
    data = data_of(answer(Map(), make_rows([0, 0, 0], paths=["/a/b/1.jpg", "/a/b/2.jpg", "3.jpg"]))["script"])
    folders = [data["folders"][place] for place in integers(data["folder"])]
    assert sorted(zip(folders, data["names"], strict=True)) == [("", "3.jpg"), ("/a/b/", "1.jpg"), ("/a/b/", "2.jpg")]
    assert len(data["folders"]) == 2


def test_first_two_components_count_and_missing_or_infinite_ones_are_zero() -> None:
    data = data_of(answer(Map(), make_rows([0, 0], [[1, 2, 9], [1, 2, 9]]))["script"])
    assert floats(data["x"]) == [1, 1]
    assert floats(data["y"]) == [2, 2]
    data = data_of(answer(Map(), make_rows([0, 0], [[np.nan], [np.inf]]))["script"])
    assert floats(data["x"]) == [0, 0]
    assert floats(data["y"]) == [0, 0]


def test_large_sets_go_into_sheets(tmp_path: Path) -> None:
    colours = [(n, 255 - n, 120) for n in range(0, 250, 2)]
    rows = make_rows([0] * 125, thumbnails=[jpeg(colour, (128, 64)) for colour in colours])
    data = data_of(answer(Map(inline=10, cell=64), rows, Context(folder=tmp_path, threads=2))["script"])
    layout = data["pictures"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sheet-00000.jpg", "sheet-00001.jpg"]
    sizes = np.frombuffer(base64.b64decode(layout["sizes"]), dtype=np.uint8).reshape(-1, 2)
    assert sizes.tolist() == [[64, 32]] * 125
    for place in (0, 37, 99, 100, 124):
        sheet, cell = divmod(place, layout["sheet"])
        with Image.open(tmp_path / f"sheet-{sheet:05d}.jpg") as image:
            pixel = image.convert("RGB").getpixel((cell % layout["columns"] * 64 + 32, cell // layout["columns"] * 64 + 16))
        expected = colours[int(data["names"][place][4:8])]
        assert np.abs(np.subtract(pixel, expected)).max() < 12


def test_sheets_are_the_same_for_any_number_of_threads(tmp_path: Path) -> None:
    rows = make_rows([0] * 250)
    for threads in (1, 3):
        (tmp_path / str(threads)).mkdir()
        answer(Map(inline=0), rows, Context(folder=tmp_path / str(threads), threads=threads))
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "3" / path.name).read_bytes()


def test_broken_thumbnails_leave_a_point_without_a_picture(tmp_path: Path) -> None:
    rows = make_rows([0, 0, 0], thumbnails=[b"", b"GIF89a", jpeg()[:40]])
    assert data_of(answer(Map(), rows)["script"])["pictures"]["data"].count("") == 2
    layout = data_of(answer(Map(inline=0), rows, Context(folder=tmp_path))["script"])["pictures"]
    assert base64.b64decode(layout["sizes"]) == bytes(6)


def test_sheets_need_a_folder() -> None:
    with pytest.raises(StageError, match="raise its option `inline`"):
        Map(inline=1).run(make_rows([0, 0]), Context())


def test_empty_and_all_noise_are_said_in_words() -> None:
    empty = answer(Map(), make_rows([]))
    assert "There are no images" in empty["html"]
    assert not empty["script"]
    assert "all 3 images are noise" in answer(Map(), make_rows([-1, -1, -1]))["html"]


def test_hostile_names_stay_text() -> None:
    name = "</script><script>alert(1)</script>\u202e\u2028'\".jpg"
    row = answer(Map(), make_rows([0], paths=[f"/x/{name}"], labels=["<img src=x onerror=alert(1)>"]))
    assert "</script" not in row["script"]
    assert "\u202e" not in row["script"]
    assert "<img" not in row["html"]
    assert "&lt;img" in row["html"]
