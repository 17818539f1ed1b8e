import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from shoal.contract import Context
from shoal.errors import StageError
from shoal.host import Host
from shoal.pipeline import parse
from shoal.pipeline.plan import plan
from shoal.preparing import Preparation
from shoal.testing import check_stage
from shoal_plugins.embed.lite0 import Lite0
from shoal_plugins.reduce.pca import Pca
from shoal_plugins.visualize.preparation import FILE, PreparationView, said
from tests.images.pictures import encode, scene
from tests.plugins.visualize.support import answer

FULL = {"grayscale": True, "clahe": True, "polarity": True, "trim": {"top": 0.25}}


def make_files(folder: Path, count: int, size: tuple[int, int] = (160, 120)) -> pa.Table:
    rows = []
    for number in range(count):
        data = encode(scene(*size, seed=number), "PNG")
        (folder / f"{number}.png").write_bytes(data)
        rows.append({"id": hashlib.sha256(data).hexdigest(), "path": str(folder / f"{number}.png")})
    return pa.Table.from_pylist(rows).sort_by("id")


def test_it_keeps_the_contract(tmp_path: Path) -> None:
    check_stage(PreparationView())
    check_stage(PreparationView(prepare=FULL), make_files(tmp_path, 5))
    check_stage(PreparationView(), makers={"embedding": Lite0(prepare=FULL)})


def test_rows_are_original_prepared_and_inverted(tmp_path: Path) -> None:
    rows = make_files(tmp_path, 10)
    (tmp_path / "out").mkdir()
    html = answer(PreparationView(prepare=FULL, thumbnail=64), rows, Context(folder=tmp_path / "out"))["html"]
    assert html.count("<img") == 3 * 8
    assert [html.count(f'<th scope="row">{name}</th>') for name in ("original", "prepared", "inverted")] == [1, 1, 1]
    sheet = np.asarray(Image.open(tmp_path / "out" / FILE)).astype(int)
    assert sheet.shape == (3 * 72 + 8, 76 + 8 * 72 + 8, 3)
    original, prepared, inverted = (sheet[8 + 72 * row : 72 + 72 * row, 84:148] for row in range(3))
    assert np.ptp(original[20:40], axis=2).max() > 20, "in colour"
    assert np.ptp(prepared, axis=2).max() == 0, "grey"
    shown = slice(16, 48)  # 160 x 90 is 64 x 36 in the middle
    np.testing.assert_allclose(prepared[shown, 4:60] + inverted[shown, 4:60], 255, atol=2)


def test_only_what_is_done_is_shown(tmp_path: Path) -> None:
    rows = make_files(tmp_path, 2)
    assert answer(PreparationView(), rows)["html"].count("<tr>") == 1
    assert answer(PreparationView(prepare={"grayscale": True}), rows)["html"].count("<tr>") == 2
    assert "Nothing is done" in answer(PreparationView(), rows)["html"]


def test_it_is_said_in_words() -> None:
    assert said(Preparation(**FULL, clip=2.5)) == (
        "Images are trimmed (25 % top), then turned to grey, then evened out in contrast (CLAHE, clip limit 2.5, 8 x 8 "
        "tiles); the vectors of the image and of its negative are averaged."
    )
    assert said(Preparation(polarity=True)).startswith("Images stay as they are; the vectors")


def test_files_that_are_gone_changed_or_broken_are_left_out(tmp_path: Path) -> None:
    rows = make_files(tmp_path, 6)
    paths = rows["path"].to_pylist()
    Path(paths[0]).unlink()
    Path(paths[1]).write_bytes(encode(scene(9, 9), "PNG"))
    html = answer(PreparationView(samples=3), rows)["html"]
    assert html.count("<img") == 3
    assert "2 images could not be read any more and are left out" in html
    for path in paths[2:]:
        Path(path).unlink()
    folder = tmp_path / "out"
    folder.mkdir()
    assert "None of the images" in answer(PreparationView(), rows, Context(folder=folder))["html"]
    assert "There are no images" in answer(PreparationView(), rows.slice(0, 0), Context(folder=folder))["html"]
    assert not list(folder.iterdir())


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (3, 2)])
def test_tiny_images_and_a_large_trim(tmp_path: Path, size: tuple[int, int]) -> None:
    rows = make_files(tmp_path, 2, size)
    trim = {"top": 0.5, "bottom": 0.49, "left": 0.98}
    assert answer(PreparationView(prepare={**FULL, "trim": trim}), rows)["html"].count("<img") == 6


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    data = encode(scene(20, 20), "PNG")
    path = tmp_path / '"><img onerror=alert(1)>.png'
    path.write_bytes(data)
    rows = pa.table({"id": [hashlib.sha256(data).hexdigest()], "path": [str(path)]})
    html = answer(PreparationView(), rows)["html"]
    assert html.count("<img") == 1
    assert "&lt;img onerror" in html


PIPELINE = """\
shoal: 1
name: shown
steps:
  - use: index.folder
  - use: embed.lite0
    with: {prepare: {grayscale: true}}
  - use: reduce.pca
  - use: visualize.preparation
    from: embed
"""


def test_it_takes_the_embedders_preparation_and_reads_no_vectors() -> None:
    step = plan(parse(PIPELINE, Host(allow=()))).step("visualize")
    assert step.stage.prepare == Preparation(grayscale=True)
    assert set(step.sources) == {"path"}
    other = plan(parse(PIPELINE, Host(allow=()), ["embed.prepare.clahe=true"])).step("visualize")
    assert other.fingerprint != step.fingerprint


def test_a_reducers_vectors_tell_nothing() -> None:
    with pytest.raises(StageError, match=r"reduce\.pca is none; name the embedder's step with `from:`"):
        plan(parse(PIPELINE.replace("    from: embed\n", ""), Host(allow=())))
    own = PreparationView(prepare={"clahe": True})
    assert own.bind({"embedding": Pca()}).prepare == Preparation(clahe=True)


def test_the_picture_is_the_same_every_time(tmp_path: Path) -> None:
    rows = make_files(tmp_path, 4)
    sheets = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        answer(PreparationView(prepare=FULL), rows, Context(folder=tmp_path / name))
        sheets.append((tmp_path / name / FILE).read_bytes())
    assert sheets[0] == sheets[1]
    assert Image.open(io.BytesIO(sheets[0])).format == "PNG"
