import re
from pathlib import Path

import pyarrow as pa
import pytest

from shoal.contract import Context
from shoal.errors import StageError
from shoal.testing import check_stage
from shoal_plugins.visualize.rescue import Rescue
from tests.hostile import TEXTS
from tests.plugins.visualize.support import answer, make_rows
from tests.plugins.visualize.test_labels import cells

SCHEMA = {"suggested": pa.int32(), "best": pa.int32(), "score": pa.float32(), "runner_up": pa.int32(),
          "runner_up_score": pa.float32(), "margin": pa.float32(), "nearest": pa.int32(),
          "nearest_score": pa.float32()}  # fmt: skip


def guessed(noise: list[tuple[object, ...] | None], captions: list[str | None] | None = None) -> pa.Table:
    """Return two images of fish (0), one of birds (1), and noise with what a rescuer says, in the order of `SCHEMA`."""
    rows = make_rows([0, 0, 1] + [-1] * len(noise), labels=["fish", "fish", "birds", *[None] * len(noise)])
    said = captions or [f"caption {place}" for place in range(len(noise))]
    rows = rows.append_column("caption", pa.array([None] * 3 + said, pa.string()))
    for place, (name, kind) in enumerate(SCHEMA.items()):
        rows = rows.append_column(name, pa.array([None] * 3 + [None if row is None else row[place] for row in noise], kind))
    return rows


def test_it_keeps_the_contract() -> None:
    check_stage(Rescue())
    check_stage(Rescue(inline=0, rows=1))


def test_suggestions_first_by_cluster_and_score() -> None:
    rows = guessed([
        (None, 0, 0.4, 1, 0.1, 0.3, 0, 0.9),
        (1, 1, 0.7, 0, 0.65, 0.05, 0, 0.8),
        (0, 0, 0.61, None, None, None, 0, 0.9),
        (0, 0, 0.9, 1, 0.2, 0.7, 0, 0.95),
    ])  # fmt: skip
    html = answer(Rescue(), rows)["html"]
    assert cells(html) == [
        ["", "img_0006.jpg caption 3", "fish", "0.90", "birds 0.20", "0.70", "agrees 0.95"],
        ["", "img_0005.jpg caption 2", "fish", "0.61", "\u2013", "\u2013", "agrees 0.90"],
        ["", "img_0004.jpg caption 1", "birds", "0.70", "fish 0.65", "0.05", "says otherwise fish 0.80"],
        ["", "img_0003.jpg caption 0", "stays noise; likest is fish", "0.40", "birds 0.10", "0.30", "agrees 0.90"],
    ]
    assert html.count('<img src="data:') == 4
    assert "3 images of the noise may belong to a cluster; 1 other stays noise." in html
    assert "--accept-rescues" in html


def test_an_image_without_a_caption_still_has_its_second_opinion() -> None:
    html = answer(Rescue(), guessed([(None, None, None, None, None, None, 1, 0.8)], [None]))["html"]
    assert cells(html) == [
        ["", "img_0003.jpg", "stays noise: no caption", "\u2013", "\u2013", "\u2013", "birds 0.80"],
    ]  # fmt: skip
    assert "otherwise" not in html


def test_no_noise_nobody_asked_nothing_suggested() -> None:
    assert "No image is noise" in answer(Rescue(), make_rows([0, 1]))["html"]
    assert "No image is noise" in answer(Rescue(), make_rows([]))["html"]
    assert "no step that suggests clusters" in answer(Rescue(), make_rows([0, -1]))["html"]
    nothing = answer(Rescue(), guessed([(None, 0, 0.4, 1, 0.1, 0.3, 0, 0.9)]))["html"]
    assert "No image of the noise is like a cluster enough" in nothing
    assert "--accept-rescues" not in nothing
    unseen = answer(Rescue(), guessed([(0, 0, 0.9, 1, 0.1, 0.8, 0, 0.9), None]))["html"]
    assert "1 noise image could not be compared with a cluster." in unseen
    assert "could be compared" in answer(Rescue(), guessed([None, None]))["html"]


def test_only_so_many_are_shown(tmp_path: Path) -> None:
    rows = guessed([(0, 0, 0.9, 1, 0.1, 0.8, 0, 0.9)] * 30)
    html = answer(Rescue(rows=20, inline=5), rows, Context(folder=tmp_path))["html"]
    assert len(cells(html)) == 20
    assert "And 10 more images of the noise" in html
    assert len(list(tmp_path.iterdir())) == 20
    assert html.count("loading=lazy") == 20
    with pytest.raises(StageError, match=r"visualize\.rescue needs a folder"):
        Rescue(inline=5).run(rows, Context())


def test_hostile_texts_stay_text() -> None:
    noise = [(0, 0, 0.9, 1, 0.1, 0.8, 1, 0.9)] * len(TEXTS)
    rows = guessed(noise, list(TEXTS))
    names = [*rows["path"].to_pylist()[:3], *(f"/p/{text}" for text in TEXTS)]
    rows = rows.set_column(rows.column_names.index("path"), "path", pa.array(names))
    labels = [TEXTS[0], TEXTS[0], "<script>x", *[None] * len(TEXTS)]
    rows = rows.set_column(rows.column_names.index("label"), "label", pa.array(labels))
    html = answer(Rescue(), rows)["html"]
    assert not re.search(r"<(script|/textarea)|<img(?! src=\"data:image/jpeg;base64,)", html)
    assert not set(html) & {"\x1b", "\x00", "\u202e", "\u2066"}
