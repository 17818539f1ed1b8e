import re
from pathlib import Path

import pyarrow as pa
import pytest

from shoal.contract import Context
from shoal.errors import StageError
from shoal.testing import check_stage
from shoal_plugins.visualize.grid import Grid
from tests.plugins.visualize.support import answer, jpeg, make_rows


def names(html: str) -> list[str]:
    return re.findall(r'<li[^>]* title="/photos/(img_\d+)\.jpg"', html)


def test_it_keeps_the_contract() -> None:
    check_stage(Grid())
    check_stage(Grid(inline=0, samples=2, page=1))


def test_largest_first_noise_last() -> None:
    html = answer(Grid(), make_rows([1, 0, 0, -1, -1, -1], labels=["small", "big", "big", None, None, None]))["html"]
    assert re.findall(r'aria-label="([^"]*)"', html) == ["big, 2 images", "small, 1 image", "noise, 3 images"]


def test_representatives_then_strongest_then_id() -> None:
    rows = make_rows([0] * 5)
    rows = rows.append_column("rank", pa.array([None, None, 1, None, 0], pa.int32()))
    rows = rows.append_column("strength", pa.array([0.5, 0.9, 0.1, 0.5, 0.2], pa.float32()))
    html = answer(Grid(samples=4), rows)["html"]
    assert names(html) == ["img_0004", "img_0002", "img_0001", "img_0000"]
    assert html.count("grid-first") == 2
    assert "a dot marks" in html


def test_small_sets_are_in_the_page_and_large_ones_beside_it(tmp_path: Path) -> None:
    rows = make_rows([0, 0, 1], thumbnails=[jpeg((n, n, n)) for n in range(3)])
    inside = answer(Grid(), rows, Context(folder=tmp_path))["html"]
    assert inside.count("data:image/jpeg;base64,") == 3
    assert not list(tmp_path.iterdir())
    beside = answer(Grid(inline=2), rows, Context(folder=tmp_path))["html"]
    assert beside.count("loading=lazy") == 3
    for row in rows.to_pylist():
        assert f'src="files/{row["id"]}.jpg"' in beside
        assert (tmp_path / f"{row['id']}.jpg").read_bytes() == row["thumbnail"]
    with pytest.raises(StageError, match="raise its option `inline`"):
        Grid(inline=2).run(rows, Context())


def test_many_clusters_are_paged_and_capped() -> None:
    rows = make_rows([number // 2 for number in range(60)] + [-1])
    row = answer(Grid(page=5, clusters=20), rows)
    assert row["html"].count("<article") == 21
    assert len(re.findall(r'<article class="grid-cluster" hidden', row["html"])) == 15
    assert "10 smaller clusters not shown" in row["html"]
    assert "grid-more" in row["script"]
    assert not answer(Grid(), make_rows([0, 1]))["script"]


def test_empty_only_noise_and_no_labels() -> None:
    assert "There are no images" in answer(Grid(), make_rows([]))["html"]
    assert "No cluster was found" in answer(Grid(), make_rows([-1, -1]))["html"]
    assert "cluster_03" in answer(Grid(), make_rows([3]))["html"]


def test_broken_thumbnails_and_hostile_names() -> None:
    html = answer(Grid(), make_rows([0], paths=['/x/"><img onerror=alert(1)>'], thumbnails=[b"nothing"], labels=["<b>"]))[
        "html"
    ]
    assert "<img" not in html
    assert "<b>" not in html
    assert "no picture" in html
