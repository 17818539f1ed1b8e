from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from shoal.contract import Context
from shoal.testing import check_stage
from shoal_plugins.visualize import _png
from shoal_plugins.visualize._shared import clusters_of
from shoal_plugins.visualize.grid import Grid
from shoal_plugins.visualize.sizes import Sizes
from tests.hostile import TEXTS
from tests.plugins.visualize.support import answer, jpeg, make_rows


def share_of(image: Image.Image, colour: tuple[int, int, int], within: int = 14) -> int:
    """Return how many pixels have about this colour."""
    return int((np.abs(np.asarray(image).astype(int) - colour).max(axis=2) < within).sum())


def test_stages_that_write_a_picture_keep_the_contract() -> None:
    check_stage(Grid(png=True))
    check_stage(Sizes(png=True))


def test_the_grid_has_thumbnails_of_80_pixels_of_each_cluster(tmp_path: Path) -> None:
    colours = [(220, 30, 30), (30, 190, 40), (40, 40, 230)]
    clusters = [0] * 20 + [1] * 3 + [-1]
    rows = make_rows(clusters, thumbnails=[jpeg(colours[number], (160, 160)) for number in clusters])
    row = answer(Grid(samples=16, png=True), rows, Context(folder=tmp_path))
    assert 'href="files/cluster_grid.png"' in row["html"]
    with Image.open(tmp_path / "cluster_grid.png") as image:
        assert image.format == "PNG"
        assert image.width >= 16 * 80
        for colour, number in zip(colours, (16, 3, 1), strict=True):
            assert share_of(image, colour) == pytest.approx(number * 80 * 80, rel=0.03)


def test_bars_are_to_one_scale_in_the_colours_of_the_report(tmp_path: Path) -> None:
    rows = make_rows([0] * 40 + [1] * 20 + [-1] * 10)
    row = answer(Sizes(png=True), rows, Context(folder=tmp_path))
    assert 'href="files/cluster_sizes.png"' in row["html"]
    lengths = []
    with Image.open(tmp_path / "cluster_sizes.png") as image:
        for cluster in clusters_of(rows):
            lengths.append(share_of(image, tuple(bytes.fromhex(cluster.colour[1:])), within=2))  # type: ignore[arg-type]
    assert np.array(lengths) / lengths[0] == pytest.approx([1, 0.5, 0.25], abs=0.02)


@pytest.mark.parametrize("stage", [Grid(), Sizes()])
def test_without_the_option_there_is_no_file(stage: Grid | Sizes, tmp_path: Path) -> None:
    assert ".png" not in answer(stage, make_rows([0, 1]), Context(folder=tmp_path))["html"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fonts", [_png._FONTS, ()], ids=["fonts of this machine", "Pillow's own font"])
def test_names_of_any_kind_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fonts: tuple[str, ...]) -> None:
    monkeypatch.setattr(_png, "_FONTS", fonts)
    _png._font_for.cache_clear()
    texts = [*TEXTS, "$x^{2$ \\frac{", "e\u0301" * 60, "\u0301", "\U0001f98a" * 200, "\u200b\u200d", "字" * 500]
    rows = make_rows([*range(len(texts)), -1], labels=[*texts, None], paths=[f"/x/{text}" for text in [*texts, "n"]])
    for stage, name in ((Grid(png=True), "cluster_grid.png"), (Sizes(png=True), "cluster_sizes.png")):
        answer(stage, rows, Context(folder=tmp_path))
        with Image.open(tmp_path / name) as image:
            assert share_of(image, (20, 33, 43)) > 1000  # ink
    _png._font_for.cache_clear()


def test_each_letter_is_taken_from_a_font_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fonts = {"first": "ab", "second": "cd"}
    monkeypatch.setattr(_png, "_FONTS", tuple(fonts))
    monkeypatch.setattr(_png, "_font", lambda name, size: name or "own")
    monkeypatch.setattr(
        _png, "_mark", lambda name, size, letter: letter.encode() if letter in fonts.get(name, "") else b"box"
    )
    _png._font_for.cache_clear()
    assert list(_png._runs("ab cd\u0301a?", 15)) == [("ab ", "first"), ("cd\u0301", "second"), ("a", "first"), ("?", "own")]
    _png._font_for.cache_clear()


def test_pillows_own_font_knows_what_it_lacks() -> None:
    assert isinstance(_png._font("", 15), ImageFont.FreeTypeFont)
    assert _png._mark("", 15, "a") != _png._mark("", 15, _png._NO_CHARACTER) == _png._mark("", 15, "字")


def test_the_largest_clusters_are_drawn_and_the_rest_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_png, "MOST", 5)
    heights = []
    for number in (5, 9):
        rows = make_rows([*range(number), -1])
        for stage in (Grid(samples=1, png=True), Sizes(png=True)):
            answer(stage, rows, Context(folder=tmp_path))
        for name in ("cluster_grid.png", "cluster_sizes.png"):
            with Image.open(tmp_path / name) as image:
                heights.append(image.height)
    assert [after - before for before, after in zip(heights[:2], heights[2:], strict=True)] == [30, 30]  # one line
    kept, more = _png._more(clusters_of(make_rows([*range(140), 139, -1])), 100)
    assert len(kept) == 101
    assert more == "40 smaller clusters with 40 images not shown"


def test_broken_thumbnails_leave_their_place_grey(tmp_path: Path) -> None:
    answer(Grid(png=True), make_rows([0, 0], thumbnails=[b"", jpeg()[:40]]), Context(folder=tmp_path))
    with Image.open(tmp_path / "cluster_grid.png") as image:
        assert share_of(image, (238, 242, 245)) > 80 * 80
