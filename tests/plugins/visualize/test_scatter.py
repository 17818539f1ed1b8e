import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shoal.contract import Context
from shoal.testing import check_stage
from shoal_plugins.visualize.scatter import Scatter, in_space, sample
from tests.hostile import TEXTS
from tests.plugins.visualize.support import answer, jpeg, make_rows
from tests.plugins.visualize.test_map import data_of, floats, integers


def places(data: dict[str, Any]) -> np.ndarray[Any, Any]:
    return np.array([floats(data[axis]) for axis in "xyz"]).T


def distances(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def test_it_keeps_the_contract() -> None:
    check_stage(Scatter())
    check_stage(Scatter(most=100, cell=32))


def test_each_point_keeps_its_place_name_cluster_strength_and_picture() -> None:
    colours = [(60 * n, 0, 255 - 60 * n) for n in range(4)]
    points = [[0, 5, 1], [1, 6, 0], [2, 7, 4], [3, 8, 2]]
    rows = make_rows([0, 1, -1, 0], points, labels=["fish", None, None, "fish"], thumbnails=[jpeg(c) for c in colours])
    rows = rows.append_column("strength", pa.array([0.0, 1.0, None, 0.5], pa.float32()))
    data = data_of(answer(Scatter(), rows)["script"])
    assert data["names"] == [f"img_{n:04}.jpg" for n in range(4)]
    legend = [cluster["number"] for cluster in data["clusters"]]
    assert [legend[which] for which in integers(data["which"])] == [0, 1, -1, 0]
    assert data["labelled"] == [True, False, False]
    assert list(base64.b64decode(data["strength"])) == [0, 255, 0, 128]
    ours, theirs = distances(places(data)), distances(np.array(points, dtype=float))
    assert np.allclose(ours / ours.max(), theirs / theirs.max(), atol=1e-6)  # one scale for all axes
    layout = data["pictures"]
    assert base64.b64decode(layout["sizes"]) == bytes([64, 48] * 4)
    with Image.open(io.BytesIO(base64.b64decode(layout["sheets"][0]))) as sheet:
        for n, colour in enumerate(colours):
            pixel = sheet.convert("RGB").getpixel((n * layout["cell"] + 30, 20))
            assert np.abs(np.subtract(pixel, colour)).max() < 12


def test_points_lie_in_a_ball_of_radius_one() -> None:
    rows = make_rows([0] * 50, (np.random.default_rng(2).normal(size=(50, 3)) * [1, 30, 4] + 100).tolist())
    data = data_of(answer(Scatter(), rows)["script"])
    assert np.linalg.norm(places(data), axis=1).max() == pytest.approx(1, abs=1e-6)
    assert data["box"] == pytest.approx(np.abs(places(data)).max(axis=0), abs=1e-6)


def test_two_components_lie_flat_and_the_page_says_so() -> None:
    row = answer(Scatter(), make_rows([0, 0], [[1, 2], [3, 4]]))
    data = data_of(row["script"])
    assert floats(data["z"]) == [0, 0]
    assert data["box"][2] == 0
    assert "lie flat" in row["html"]


def test_more_components_become_the_first_three_principal_ones() -> None:
    rng = np.random.default_rng(3)
    vectors = (rng.normal(size=(300, 6)) * [1, 9, 0.1, 5, 0.2, 3] + 7).astype(np.float32)
    found, share = in_space(vectors, np.arange(300))
    centred = vectors - vectors.mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(np.abs(found), np.abs(centred @ directions[:3].T), atol=1e-3)
    assert share == pytest.approx((singular[:3] ** 2).sum() / (singular**2).sum(), abs=1e-5)
    assert np.corrcoef(found[:, 0], vectors[:, 1])[0, 1] > 0.99  # the largest weight is positive
    some, _ = in_space(vectors, np.array([5, 17]))
    assert np.allclose(some, found[[5, 17]], atol=1e-4)  # fitted on all, whatever is drawn


def test_what_is_not_finite_and_vectors_that_are_all_the_same_do_no_harm() -> None:
    for points in ([[np.nan] * 5, [np.inf] * 5, [0.0] * 5], [[2.0] * 5] * 3, [[1.0]] * 3):
        data = data_of(answer(Scatter(), make_rows([0, 0, 1], points))["script"])
        assert np.isfinite(places(data)).all()
    assert "100\u202f%" in answer(Scatter(), make_rows([0, 0, 1], [[2.0] * 5] * 3))["html"]


def test_a_large_set_is_sampled_and_the_page_says_how_many_are_drawn() -> None:
    clusters = [0] * 700 + [1] * 250 + [-1] * 49 + [7]
    row = answer(Scatter(most=100, seed=4), make_rows(clusters))
    data = data_of(row["script"])
    assert len(data["names"]) == 100
    assert "100 of 1\u202f000 are drawn" in row["html"]
    legend = [cluster["number"] for cluster in data["clusters"]]
    drawn = [legend[which] for which in integers(data["which"])]
    assert set(drawn) == {0, 1, -1, 7}
    assert 65 <= drawn.count(0) <= 72
    assert [cluster["size"] for cluster in data["clusters"]] == [700, 250, 1, 49]  # sizes are those of the set
    assert answer(Scatter(most=100, seed=4), make_rows(clusters)) == row
    assert answer(Scatter(most=100, seed=5), make_rows(clusters)) != row
    assert "are drawn" not in answer(Scatter(), make_rows(clusters))["html"]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 200), st.integers(0, 5))
def test_a_sample_has_a_row_of_each_cluster_while_there_is_room(sizes: list[int], most: int, seed: int) -> None:
    sizes = sorted(sizes, reverse=True)
    which = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.int32)
    picked = sample(which, most, seed)
    assert min(most, len(which)) - len(sizes) <= len(picked) <= min(most, len(which))
    assert len(set(picked.tolist())) == len(picked)
    assert (np.diff(picked) > 0).all()
    assert set(which[picked].tolist()) == set(range(min(len(sizes), most)))


def test_broken_thumbnails_leave_a_point_without_a_picture() -> None:
    rows = make_rows([0, 0, 0], thumbnails=[b"", b"GIF89a", jpeg()[:40]])
    assert base64.b64decode(data_of(answer(Scatter(), rows)["script"])["pictures"]["sizes"]) == bytes(6)


def test_no_images_are_said_in_words() -> None:
    empty = answer(Scatter(), make_rows([]))
    assert "There are no images" in empty["html"]
    assert not empty["script"]
    assert "all 3 images are noise" in answer(Scatter(), make_rows([-1] * 3))["html"]


def test_hostile_names_and_labels_stay_text(tmp_path: Path) -> None:
    rows = make_rows(list(range(len(TEXTS))), paths=[f"/x/{text}" for text in TEXTS], labels=TEXTS)
    row = answer(Scatter(), rows, Context(folder=tmp_path))
    assert "</script" not in row["script"]
    assert "\u202e" not in row["script"] + row["html"]
    assert "<script" not in row["html"]
    assert "<img" not in row["html"]
    assert not list(tmp_path.iterdir())
