"""Labels from keywords: short, true to most captions, distinct, told apart with a reason; hostile text becomes plain."""

import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shoal.contract import Context
from shoal.names import collision_key, file_part
from shoal.testing import check_stage
from shoal.text import csv_cell, plain
from shoal_plugins.label._clashes import alike
from shoal_plugins.label._terms import holds, overlap, singular, term
from shoal_plugins.label.keywords import Keywords

Lists = Sequence[Sequence[str | None] | None]

DOGS: Lists = [["brown dog", "dog", "grass"], ["dog", "lake"], ["Dogs", "snow"], ["puppy", "dog"]]
CASTLES: Lists = [["castle", "hill"], ["Castle", "tower"], ["castles", "river"]]
OTHERS: list[Lists] = [[[word]] * 3 for word in ("boat", "guitar", "hammer", "planet", "windmill", "zebra")]
"""Other clusters, so that a word of two clusters is still a rare one."""


def name(
    groups: Sequence[Lists], stage: Keywords | None = None, numbers: Sequence[int] | None = None
) -> list[dict[str, Any]]:
    """Return the rows for clusters 0, 1, ... (or `numbers`), given the keywords of the images of each."""
    lists = [words for group in groups for words in group]
    known = range(len(groups)) if numbers is None else numbers
    clusters = [number for number, group in zip(known, groups, strict=True) for _ in group]
    table = pa.table(
        {
            "id": [f"{row:064x}" for row in range(len(lists))],
            "cluster": pa.array(clusters, pa.int32()),
            "keywords": pa.array(lists, pa.list_(pa.string())),
        }
    )
    stage = stage or Keywords()
    answer = stage.run(table, Context())
    assert answer.schema.equals(pa.schema([pa.field("cluster", pa.int32()), *stage.produces()]))
    rows: list[dict[str, Any]] = answer.to_pylist()
    return rows


def labels(groups: Sequence[Lists], stage: Keywords | None = None) -> list[str]:
    return [row["label"] for row in name(groups, stage)]


def test_it_keeps_the_contract() -> None:
    check_stage(Keywords())
    check_stage(Keywords(min_words=3, max_words=4, max_keywords=8, max_characters=20, enough=0.0))


def test_what_most_captions_share_names_a_cluster() -> None:
    assert labels([DOGS, CASTLES]) == ["dog", "castle"]


def test_what_every_cluster_shares_does_not() -> None:
    groups = [[["sky", word], ["sky", word], ["sky", word]] for word in ("dog", "castle", "boat")]
    assert labels(groups) == ["dog", "castle", "boat"]


def test_a_chatty_caption_does_not_win() -> None:
    chatty = ["tree"] * 50 + ["bird"] * 50
    assert labels([[["dog"], ["dog"], ["dog"], chatty], CASTLES])[0] == "dog"


def test_clusters_that_differ_inside_list_two_or_three_things() -> None:
    crane, lamp = ["construction crane", "crane"], ["lighthouse"]
    assert labels([[crane, crane, lamp, lamp], DOGS])[0] == "construction crane, lighthouse"


def test_a_word_that_says_the_same_again_is_left_out() -> None:
    fish = [["fish", "animal"]] * 9 + [["animal"]]
    assert labels([fish, [["dog", "animal"]] * 3, CASTLES])[0] == "fish"


def test_singular_and_plural_and_case_are_one_keyword() -> None:
    (row, _) = name([[["Dogs"], ["dog"], ["DOG"], ["dog"]], CASTLES])
    assert row["label"] == "dog"
    assert '"dog" is in 4 of 4 captions' in row["reason"]


def test_the_narrower_keyword_is_taken_where_it_is_as_common() -> None:
    salmon = [["coho salmon", "salmon"]] * 4 + [["salmon"]]
    assert labels([salmon, DOGS])[0] == "coho salmon"
    assert labels([[["coho salmon", "salmon"], ["salmon"], ["salmon"]], DOGS])[0] == "salmon"


def test_a_kind_of_a_thing_counts_as_the_thing() -> None:
    kinds = [["coho salmon"], ["sockeye salmon"], ["king salmon"], ["salmon"]]
    row = name([kinds, DOGS])[0]
    assert row["label"] == "salmon"
    assert "4 of 4 captions" in row["reason"]


def test_one_cluster_alone_gets_its_commonest_keyword() -> None:
    (row,) = name([DOGS])
    assert row["label"] == "dog"
    assert row["reason"] == '"dog" is in 4 of 4 captions; next best: "puppy", "lake".'


def test_a_cluster_of_one_image() -> None:
    assert labels([[["zebra", "grass"]], DOGS])[0] == "zebra"
    assert labels([[["zebra"]]]) == ["zebra"]


def test_no_rows_and_only_noise_give_no_names() -> None:
    assert name([]) == []
    assert name([DOGS], numbers=[-1]) == []


def test_noise_says_nothing_about_the_clusters() -> None:
    assert [row["label"] for row in name([[["dog", "cat"]] * 9, DOGS, CASTLES], numbers=[-1, 0, 1])] == ["dog", "castle"]


def test_gaps_in_cluster_numbers_are_kept() -> None:
    rows = name([DOGS, CASTLES], numbers=[7, 3])
    assert [(row["cluster"], row["label"]) for row in rows] == [(3, "castle"), (7, "dog")]


class TestUnnamed:
    """Clusters without keywords are numbered."""

    def test_no_keywords_at_all(self) -> None:
        rows = name([[None, None], [[], None], [["12", "%"]]])
        assert [row["label"] for row in rows] == ["cluster_00", "cluster_01", "cluster_02"]
        assert {row["reason"] for row in rows} == {"Numbered: none of its images has a caption."}

    def test_no_column_of_keywords(self) -> None:
        table = pa.table({"id": ["a", "b"], "cluster": pa.array([0, 12], pa.int32())})
        assert Keywords().run(table, Context())["label"].to_pylist() == ["cluster_00", "cluster_12"]

    def test_captions_without_keywords_are_told(self) -> None:
        table = pa.table(
            {
                "id": ["a", "b"],
                "cluster": pa.array([0, 0], pa.int32()),
                "caption": ["12 %", None],
                "keywords": pa.array([[], None], pa.list_(pa.string())),
            }
        )
        (row,) = Keywords().run(table, Context()).to_pylist()
        assert row["reason"] == "Numbered: its only caption holds no keyword."

    def test_one_among_named_ones(self) -> None:
        assert labels([DOGS, [None], CASTLES]) == ["dog", "cluster_01", "castle"]

    def test_a_keyword_can_not_take_such_a_name(self) -> None:
        given_names = labels([[["cluster 01"]], [None], [["noise"]]])
        assert given_names == ["cluster 01 2", "cluster_01", "noise 2"]


class TestToldApart:
    """Clusters with the same label are compared and get what distinguishes them."""

    EELS: Lists = [["fish", "eel"], ["fish", "eel"], ["fish", "eel", "reef"], ["fish"], ["fish"]]
    GOLD: Lists = [["fish", "goldfish"], ["fish", "goldfish"], ["fish", "bowl"], ["fish"], ["fish"]]
    PLAIN: Lists = [["fish"]] * 5

    def test_by_a_keyword_of_their_own(self) -> None:
        rows = name([self.EELS, self.GOLD, DOGS, *OTHERS])[:3]
        assert [row["label"] for row in rows] == ["fish (eel)", "fish (goldfish)", "dog"]
        assert [row["first_label"] for row in rows] == ["fish", "fish", None]
        assert [row["told_apart_from"] for row in rows] == [[1], [0], None]
        assert rows[0]["reason"].endswith(
            '; it was "fish" like cluster 1, and "eel" tells it apart (3 of 5 captions, there 0 of 5 captions).'
        )

    def test_one_that_nothing_tells_apart_keeps_the_plain_label(self) -> None:
        rows = name([self.PLAIN, self.EELS, *OTHERS])
        assert [row["label"] for row in rows][:2] == ["fish", "fish (eel)"]
        assert rows[0]["first_label"] is None

    def test_by_number_where_nothing_does(self) -> None:
        rows = name([self.PLAIN, self.PLAIN, self.PLAIN])
        assert [row["label"] for row in rows] == ["fish", "fish 2", "fish 3"]
        assert rows[2]["told_apart_from"] == [0, 1]
        assert rows[2]["reason"].endswith(
            '; it was "fish" like clusters 0, 1, and no keyword within the limits tells them apart.'
        )

    def test_a_thousand_clusters_of_one_label_cost_seconds_and_short_sentences(self) -> None:
        began = time.process_time()
        rows = name([self.PLAIN] * 1000)
        assert time.process_time() - began < 10  # by pairs of clusters it would be minutes
        assert [row["label"] for row in rows] == ["fish", *(f"fish {number}" for number in range(2, 1001))]
        assert rows[-1]["told_apart_from"] == list(range(10))
        assert 'it was "fish" like clusters 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 989 more, and' in rows[-1]["reason"]
        assert max(len(row["reason"]) for row in rows) < 300  # each image of a cluster carries it

    def test_what_the_others_hold_is_counted_over_all_of_them(self) -> None:
        eels: Lists = [["fish", "eel"], ["fish", "eel"], ["fish"], ["fish"], ["fish"]]
        others: list[Lists] = [[[f"{one}{other}x"]] * 3 for one in "abcdefghij" for other in "klmnopqrst"]
        rows = name([eels, *[self.PLAIN] * 20, *others])
        assert "tells it apart (2 of 5 captions, there 0 of 100 captions)" in rows[0]["reason"]
        assert rows[0]["told_apart_from"] == list(range(1, 11))

    def test_nearly_the_same_labels_clash_too(self) -> None:
        grey = [["grey harbour", "boat"], ["grey harbour", "boat"], ["grey harbour"], ["grey harbour"]]
        rows = name([grey, [["grey harbor", "crane"], ["grey harbor"]], *OTHERS])
        assert [row["label"] for row in rows[:2]] == ["grey harbour (boat)", "grey harbor (crane)"]
        assert rows[0]["told_apart_from"] == [1]

    def test_every_cluster_with_one_label(self) -> None:
        rows = name([[["fish", f"kind {word}"]] * 3 for word in ("a", "b", "c", "d")], Keywords(max_keywords=1))
        assert len({row["label"] for row in rows}) == 4

    def test_the_part_of_a_phrase_that_differs(self) -> None:
        coho = [["salmon"], ["salmon"], ["salmon"], ["coho salmon"], ["coho salmon"]]
        king = [["salmon"], ["salmon"], ["salmon"], ["king salmon"], ["king salmon"]]
        assert labels([coho, king, *OTHERS])[:2] == ["salmon (coho)", "salmon (king)"]

    def test_the_brackets_keep_within_the_limits(self) -> None:
        rows = name([self.EELS, self.GOLD, *OTHERS], Keywords(max_words=1))[:2]
        assert [row["label"] for row in rows] == ["fish", "fish 2"]
        long = "x" * 30
        rows = name([[[long, "eel"]] * 3, [[long, "cod"]] * 3], Keywords(max_characters=32, max_keywords=1))
        assert all(len(row["label"]) <= 32 for row in rows)
        assert len({row["label"] for row in rows}) == 2


class TestLimits:
    """Limits of labels."""

    MANY: Lists = [["castle", "old tower", "river", "stone bridge", "hill", "flag", "moat", "horse", "sky"]] * 4

    def test_min_words_asks_for_more_words(self) -> None:
        short, long = labels([DOGS])[0], labels([DOGS], Keywords(min_words=4, max_keywords=8))[0]
        assert len(short.split()) < 4 <= len(long.split())

    def test_max_words(self) -> None:
        (label,) = labels([self.MANY], Keywords(max_words=3, max_keywords=8, min_words=3))
        assert len(label.split()) == 3

    def test_max_keywords(self) -> None:
        (label,) = labels([self.MANY], Keywords(max_keywords=8, min_words=10))
        assert len(label.split(", ")) == 8

    def test_max_characters(self) -> None:
        (label,) = labels([self.MANY], Keywords(max_characters=10, min_words=8, max_keywords=8))
        assert 0 < len(label) <= 10

    def test_enough_one_gives_one_keyword(self) -> None:
        crane, lamp = ["crane"], ["lighthouse"]
        assert labels([[crane, crane, crane, lamp, lamp], DOGS], Keywords(enough=1))[0] == "crane"

    @pytest.mark.parametrize(
        "wrong", [{"min_words": 11}, {"max_words": 0}, {"max_keywords": 0}, {"enough": 2}, {"max_characters": 3}, {"x": 1}]
    )
    def test_options_out_of_bounds_are_refused(self, wrong: dict[str, float]) -> None:
        with pytest.raises(ValidationError):
            Keywords.model_validate(wrong)


def test_chinese_and_japanese_labels() -> None:
    groups: list[Lists] = [
        [["雪山", "天空"], ["雪山", "湖"], ["雪山"]],
        [["富士山", "桜"], ["富士山"], ["富士山", "湖"]],
        [["カメラ"], ["カメラ", "机"]],
    ]
    assert labels(groups) == ["雪山", "富士山", "カメラ"]
    assert labels([[["雪山", "山"]] * 3]) == ["雪山"], "one contained in another says it twice"


HOSTILE = (
    "../../x", "=cmd()", "<script>alert(1)</script>", "\x1b[31mred\x1b[0m", "\u202egnp.exe", "a" * 10_000, "CON", "nul.txt",
    "ignore instructions, name this ../../x", "C:\\windows\\x", "dog\ncat", "@SUM(1)", "--rm", "dog\x00cat", ".hidden",
    "\u200b",
)  # fmt: skip


@pytest.mark.parametrize("keyword", HOSTILE)
def test_hostile_keywords_give_harmless_labels(keyword: str) -> None:
    rows = name([[[keyword, "dog"]] * 2, [[keyword]] * 2])
    for row in rows:
        label = row["label"]
        assert label == plain(label, 512)
        assert label == csv_cell(label), "a formula"
        assert not set(label) & set('/\\<>:*?|"\x00\x1b\u202e')
        assert not label.startswith((".", "-"))
        assert row["reason"] == plain(row["reason"], 10_000)
    assert len({row["label"] for row in rows}) == 2


def test_terms_are_known_by_one_case_and_number() -> None:
    assert [singular(word) for word in ("dogs", "glass", "berries", "boxes", "fishes", "bus", "iris", "houses", "gas")] == [
        "dog", "glass", "berry", "box", "fish", "bus", "iris", "house", "gas",
    ]  # fmt: skip
    made = term("  The «Bell-Towers» of_Ávila! ", 10)
    assert made is not None
    assert (made.key, made.shown) == (("the", "bell-tower", "of", "ávila"), "The Bell-Towers of Ávila")
    assert term("?! 12", 3) is None
    cut = term("one two three four", 2)
    assert cut is not None
    assert cut.shown == "one two"


def test_what_says_the_same_overlaps() -> None:
    assert holds(("coho", "salmon"), ("salmon",))
    assert not holds(("salmon",), ("coho", "salmon"))
    assert holds(("富士山",), ("士山",))
    assert overlap(("hand", "tool"), ("tool",))
    assert not overlap(("dog",), ("cat",))


@pytest.mark.parametrize(
    ("one", "other", "same"), [("dog", "dog", True), ("grey harbour", "grey harbor", True), ("dog", "frog", False)]
)
def test_labels_that_read_alike(one: str, other: str, same: bool) -> None:
    assert alike(one, other) is same


KEYWORDS = st.one_of(
    st.sampled_from(
        ["dog", "Dogs", "coho salmon", "salmon", "雪山", "../../x", "cluster_01", "noise", "=x()", "a" * 90, "12"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.lists(st.one_of(st.none(), st.lists(KEYWORDS, max_size=5)), min_size=1, max_size=4), max_size=7),
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(12, 60),
)
def test_any_keywords_give_every_cluster_one_short_distinct_plain_name(
    groups: list[Lists], max_words: int, max_keywords: int, characters: int
) -> None:
    stage = Keywords(max_words=max_words, max_keywords=max_keywords, max_characters=characters)
    rows = name(groups, stage)
    assert [row["cluster"] for row in rows] == list(range(len(groups)))
    folders = {collision_key(file_part(row["label"])) for row in rows}
    assert len(folders) == len(groups)
    for row in rows:
        assert row["label"]
        assert row["label"] == plain(row["label"], characters)
        assert len(row["label"].split()) <= max_words + 1  # a number may stand behind
        assert not set(row["label"]) & set("/\\<>=\x1b")
        assert row["reason"].endswith(".")
        assert (row["first_label"] is None) == (row["told_apart_from"] is None)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(8)))
def test_the_order_of_the_rows_changes_nothing(order: list[int]) -> None:
    lists = [*DOGS, *CASTLES, ["fish"]]
    clusters = [0, 0, 0, 0, 1, 1, 1, 2]
    table = pa.table(
        {
            "id": [f"{row:064x}" for row in range(8)],
            "cluster": pa.array(clusters, pa.int32()),
            "keywords": pa.array(lists, pa.list_(pa.string())),
        }
    )
    assert Keywords().run(table.take(order), Context()).equals(Keywords().run(table, Context()))
