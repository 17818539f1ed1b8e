import re
from pathlib import Path

import pyarrow as pa
import pytest

from shoal.contract import Context
from shoal.errors import StageError
from shoal.testing import check_stage
from shoal_plugins.visualize.labels import Labels
from tests.hostile import TEXTS
from tests.plugins.visualize.support import answer, make_rows


def spoken(clusters: list[int], labels: list[str | None], captions: list[str | None]) -> pa.Table:
    rows = make_rows(clusters, labels=labels)
    rows = rows.append_column("caption", pa.array(captions, pa.string()))
    return rows.append_column("reason", pa.array([None if label is None else f"because {label}" for label in labels]))


def cells(html: str) -> list[list[str]]:
    rows = re.findall(r"<tr>\n(.*?)</tr>", html, flags=re.DOTALL)
    texts = [
        [re.sub(r"<[^>]*>|\s+", " ", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)] for row in rows
    ]
    return [[" ".join(cell.split()) for cell in row] for row in texts]


def test_it_keeps_the_contract() -> None:
    check_stage(Labels())
    check_stage(Labels(inline=0, samples=1, clusters=1))


def test_a_row_a_cluster_and_none_for_noise() -> None:
    rows = spoken([1, 0, 0, -1], ["birds", "fish", "fish", None], ["a heron", "a carp", None, "a sock"])
    html = answer(Labels(), rows)["html"]
    assert (
        cells(html)
        == [
            ["birds cluster 1", "1", "because birds", "a heron"],
            ["fish cluster 0", "2", "because fish", "a carp"],
        ][::-1]
    )
    assert "sock" not in html
    assert html.count("<img") == 2
    assert html.count('alt="img_') == 2


def test_what_was_told_apart_is_marked() -> None:
    rows = spoken([0, 1], ["red fish", "blue fish"], ["a", "b"])
    rows = rows.append_column("first_label", pa.array(["fish", "blue fish"]))
    rows = rows.append_column("told_apart_from", pa.array([[1], []], pa.list_(pa.int32())))
    html = answer(Labels(), rows)["html"]
    assert "1 label was changed to tell clusters apart." in html
    assert cells(html)[0][2] == "because red fish told apart fish → red fish , from blue fish"
    assert cells(html)[1][2] == "because blue fish"


def test_keywords_of_most_captions_first() -> None:
    rows = spoken([0, 0, 0], ["x"] * 3, ["a", "b", "c"])
    words = [["sea", "fish"], ["fish", "fish"], None]
    html = answer(Labels(words=1), rows.append_column("keywords", pa.array(words, pa.list_(pa.string()))))["html"]
    assert cells(html)[0][3] == "fish 2"


def test_the_strongest_captions_are_shown_and_the_others_counted() -> None:
    rows = spoken([0] * 4, ["x"] * 4, ["weak", "strong", "", "middling"])
    rows = rows.append_column("strength", pa.array([0.1, 0.9, 1.0, 0.5], pa.float32()))
    html = answer(Labels(samples=2), rows)["html"]
    assert cells(html)[0][3] == "strong middling 1 more caption"


def test_pictures_lie_beside_the_page_where_there_are_many(tmp_path: Path) -> None:
    rows = spoken([0, 0], ["x"] * 2, ["a", "b"])
    html = answer(Labels(inline=1), rows, Context(folder=tmp_path))["html"]
    assert html.count("loading=lazy") == 2
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(StageError, match="raise its option `inline`"):
        Labels(inline=1).run(rows, Context())


def test_what_is_missing_is_said() -> None:
    assert "There is no cluster to name." in answer(Labels(), make_rows([]))["html"]
    assert "There is no cluster to name." in answer(Labels(), make_rows([-1, -1]))["html"]
    bare = answer(Labels(), make_rows([0, 0]))["html"]
    assert "The pipeline has no step that names clusters. No image has a caption." in bare
    assert "cluster_00" in bare
    assert "1 smaller cluster not shown" in answer(Labels(clusters=1), make_rows([0, 0, 1]))["html"]
    some = answer(Labels(), spoken([0, 1], ["x", "y"], ["a", None]))["html"]
    assert "no caption" in some


def test_hostile_texts_stay_text() -> None:
    count = len(TEXTS)
    rows = make_rows(list(range(count)), labels=TEXTS, paths=[f"/p/{text}" for text in TEXTS], thumbnails=[b"no"] * count)
    for name in ("caption", "reason", "first_label"):
        rows = rows.append_column(name, pa.array([f"{text} " for text in TEXTS]))
    rows = rows.append_column("keywords", pa.array([[text] for text in TEXTS], pa.list_(pa.string())))
    html = answer(Labels(), rows)["html"]
    assert not re.search(r"<(script|img|/textarea)", html)
    assert not set(html) & {"\x1b", "\x00", "\u202e", "\u2066"}


def test_a_long_caption_is_cut() -> None:
    html = answer(Labels(), spoken([0], ["x"], ["word " * 2000]))["html"]
    assert len(html) < 5000
    assert "…" in html
