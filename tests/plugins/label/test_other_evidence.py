"""Where captions or pictures give no word for a cluster, file names do, and then tags; the reason says which it was."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.contract import Context
from shoal.schema import columns
from shoal.testing import check_stage
from shoal.text import csv_cell, plain
from shoal.vectors import from_numpy
from shoal_plugins.caption.tags import Tags as CaptionTags
from shoal_plugins.caption.transformers import Transformers
from shoal_plugins.label._naming import Namer, Rules, gather
from shoal_plugins.label._nouns import nouns
from shoal_plugins.label._terms import key_of
from shoal_plugins.label.keywords import Keywords
from shoal_plugins.label.tags import Tags

from .fixtures import BIRDS, FISH, TOOLS, Floats, shows
from .test_file_names import HOSTILE, MILLS, PLANETS

BALLS = [["ball", "gong"], ["nautilus"], ["gong"], ["baguette"], ["ball"]]
"""What a captioner says of planets that knows none: no keyword is in half of the captions."""
DOGS = [["dog", "grass"], ["dog", "lake"], ["dog"], ["puppy", "dog"], ["dog"]]
TOWERS = [["tower", "crane"], ["tower"], ["tower", "crane"], ["tower", "crane"], ["aerial"]]
"""What a captioner says of windmills that knows none: most captions agree."""
CAMERA = [f"IMG_{number:04d}" for number in range(9)]
ROUND = (417, 574, 722, 852, 805)
"""Balloon, golf ball, ping-pong ball, tennis ball, soccer ball."""

Group = tuple[Sequence[Sequence[str] | None], Sequence[str]]


def table(groups: Sequence[Group], images: Sequence[Floats] | None = None) -> pa.Table:
    """Return rows of the clusters 0, 1, ...: keywords and file stems of the images of each, `images` their probabilities."""
    rows = [(cluster, row) for cluster, group in enumerate(groups) for row in zip(*group, strict=True)]
    made = {
        "id": [f"{row:064x}" for row in range(len(rows))],
        "cluster": pa.array([cluster for cluster, _ in rows], pa.int32()),
        "keywords": pa.array([keywords for _, (keywords, _) in rows], pa.list_(pa.string())),
        "paths": pa.array([[f"/photos/x/{stem}.webp"] for _, (_, stem) in rows], pa.list_(pa.string())),
    }
    if images is not None:
        made["probabilities"] = from_numpy(np.array(images, dtype=np.float32))
    return pa.table(made)


def keywords(groups: Sequence[Group], images: Sequence[Floats] | None = None, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Keywords(**options).run(table(groups, images), Context()).to_pylist()
    return found


def labels(groups: Sequence[Group], images: Sequence[Floats] | None = None, **options: Any) -> list[str]:
    return [row["label"] for row in keywords(groups, images, **options)]


SET: list[Group] = [(BALLS, PLANETS[:5]), (DOGS, CAMERA[:5])]


class TestKeywords:
    """`label.keywords` asks others only where captions do not agree, or not wholly."""

    def test_file_names_name_a_cluster_whose_captions_do_not_agree(self) -> None:
        planets, dogs = keywords(SET)
        assert (planets["label"], dogs["label"]) == ("planets", "dog")
        assert planets["reason"] == (
            '"planets" fits the file names of 5 of 5 images (earth, mercury, saturn) and 0 of 5 others; its captions do not '
            'agree: "ball", said most often, is in 2 of 5 captions; next best: "gong", "baguette".'
        )
        assert planets["first_label"] is None

    def test_it_can_be_turned_off(self) -> None:
        assert labels(SET, file_names=False) == labels([(BALLS, CAMERA[:5]), SET[1]]) == ["ball, gong", "dog"]

    def test_captions_that_agree_win_over_any_name(self) -> None:
        assert labels([(DOGS, PLANETS[:5]), (BALLS, CAMERA[:5])])[0] == "dog"
        half = [["dog"], ["dog"], ["fox"], ["cat"]]
        assert labels([(half, PLANETS[:4]), SET[1]])[0] == "cat, fox"
        assert labels([([*half[1:], ["owl"]], PLANETS[:4]), SET[1]])[0] == "planets"

    def test_a_noun_that_all_file_names_share_wins_over_captions_that_mostly_agree(self) -> None:
        others: list[Group] = [SET[1], (BALLS, PLANETS[:5])]
        mills, dogs, planets = keywords([(TOWERS, MILLS[:5]), *others])
        assert [row["label"] for row in (mills, dogs, planets)] == ["windmill", "dog", "planets"]
        assert mills["reason"] == (
            '"windmill" fits the file names of 5 of 5 images and 0 of 10 others; its captions agree less: "tower", said '
            'most often, is in 4 of 5 captions; next best: "crane", "aerial".'
        )
        for option in ({"file_names": False}, {"file_names_first": False}):
            assert labels([(TOWERS, MILLS[:5]), *others], **option)[0] == "tower"
        assert labels([(TOWERS, [*MILLS[:3], *CAMERA[:2]]), *others])[0] == "tower"
        assert labels([([*TOWERS[:4], ["tower"]], MILLS[:5]), *others])[0] == "tower"

    def test_a_shared_noun_that_says_less_than_the_captions_gives_way(self) -> None:
        most = [["hound"], ["hound"], ["hound"], ["hound"], ["grass"]]
        for said in ("animal", "dog", "hound", "canine"):
            assert labels([(most, [f"{said}{number}" for number in range(5)]), (BALLS, CAMERA[:5])])[0] == "hound"
        rhinoceros = [*[["rhinoceros"]] * 4, ["grass"]]
        assert labels([(rhinoceros, [f"beast{number}" for number in range(5)]), (BALLS, CAMERA[:5])])[0] == "rhinoceros"
        lawns = [["lawn", "dog"], ["lawn", "tree"], ["lawn"], ["dog"], ["dog"]]
        animals: list[Group] = [(lawns, [f"animal{k}" for k in range(5)]), (most, CAMERA[:5])]
        assert labels(animals) == labels(animals, file_names=False)
        tools = [["hand tools"], ["hand tools"], ["hand tools"], ["hand tools"], ["grass"]]
        assert labels([(tools, [f"tool_{number}" for number in range(5)]), (BALLS, CAMERA[:5])])[0] == "hand tools"

    def test_all_images_have_names_also_those_without_a_caption(self) -> None:
        assert labels([([*BALLS, None, None, None, None], PLANETS), SET[1]])[0] == "planets"

    def test_clusters_without_captions_stay_numbered(self) -> None:
        assert labels([([None] * 9, PLANETS), SET[1]])[0] == "cluster_00"

    def test_names_that_clash_are_told_apart(self) -> None:
        planets = [["planet"]] * 5
        rows = keywords([(planets, CAMERA[:5]), (BALLS, PLANETS[:5]), SET[1]])
        assert [row["label"] for row in rows] == ["planets", "planets (ball)", "dog"]
        assert rows[1]["first_label"] == "planets"
        assert rows[1]["told_apart_from"] == [0]
        twins = keywords([(BALLS, PLANETS[:5]), (BALLS, PLANETS[4:]), (DOGS * 4, [*CAMERA, *CAMERA, "a", "b"])])
        assert [row["label"] for row in twins] == ["planets", "planets 2", "dog"]

    def test_limits_of_labels_hold(self) -> None:
        planets = [["planet", "cat"], ["planet"], ["planet"], ["cat"], ["cat"], ["planet"]]
        shown: list[Group] = [(planets, CAMERA[:6]), (BALLS, PLANETS[:5])]
        assert all(len(label) <= 11 for label in labels(shown, max_characters=11)), "the longer way to write a word counts"
        assert labels(SET, min_words=3)[0] == "planets, ball, gong"
        assert labels(SET, min_words=3, max_words=3, max_characters=14)[0] == "planets, ball"
        stars: list[Group] = [(BALLS, ["ceres", "comet", "vesta", "sedna", "asteroid"]), SET[1]]
        assert labels(stars)[0] == "celestial bodies"
        assert labels(stars, max_words=1)[0] == labels(stars, max_words=1, file_names=False)[0]
        assert len(labels(stars, max_characters=12)[0]) <= 12

    def test_tags_come_after_file_names(self) -> None:
        images = [shows(*ROUND[k:], *ROUND[:k]) for k in range(5)] + [shows(151 + k) for k in range(5)]
        camera: list[Group] = [(BALLS, CAMERA[:5]), SET[1]]
        (row, _) = keywords(camera, images)
        assert row["label"] == "balls"
        assert row["reason"].startswith('ImageNet tags show "balls" in 5 of 5 images; its captions do not agree: ')
        assert labels(SET, images)[0] == "planets"
        assert labels(camera, images, tags=False)[0] == "ball, gong"

    def test_tags_that_do_not_agree_leave_the_keywords(self) -> None:
        images = [shows(classes) for classes in (FISH[0], TOOLS[0], BIRDS[0], 417, 980)] + [shows(151 + k) for k in range(5)]
        assert labels([(BALLS, CAMERA[:5]), SET[1]], images)[0] == "ball, gong"

    def test_tags_of_some_images_only_say_nothing(self) -> None:
        rows = table([(BALLS, CAMERA[:5])], [shows(*ROUND)] * 5)
        some = pa.array([None, *rows["probabilities"].to_pylist()[1:]], rows["probabilities"].type)
        rows = rows.set_column(rows.column_names.index("probabilities"), "probabilities", some)
        assert Keywords().run(rows, Context())["label"].to_pylist() == ["ball, gong"]

    def test_captions_of_a_language_model_come_before_tags_and_file_names_unless_asked_for(self) -> None:
        mute, talking = {"caption": CaptionTags()}, {"caption": Transformers(model="x")}
        assert Keywords().bind(mute) == Keywords().bind({}) == Keywords(tags=True, file_names_first=True)
        assert Keywords().bind(talking) == Keywords(tags=False, file_names_first=False)
        assert Keywords(tags=True).bind(talking) == Keywords(tags=True, file_names_first=False)
        assert Keywords(file_names=False).bind(mute) == Keywords(file_names=False, tags=True, file_names_first=False)
        assert Keywords(file_names_first=True).bind(talking) == Keywords(tags=False, file_names_first=True)
        assert Keywords(tags=False, file_names_first=False).bind(mute) == Keywords(tags=False, file_names_first=False)

    def test_options_and_nouns_are_its_identity(self) -> None:
        assert "nouns" in Keywords().identity()
        assert "nouns" not in Keywords(file_names=False).identity()
        check_stage(Keywords(file_names=False, tags=False))

    def test_file_names_can_not_come_first_unread(self) -> None:
        with pytest.raises(ValueError, match="set file_names to true, or leave file_names_first out"):
            Keywords(file_names=False, file_names_first=True)


def tagged(images: Sequence[Floats], stems: Sequence[str], clusters: Sequence[int], **options: Any) -> list[dict[str, Any]]:
    """Return the rows of `label.tags`."""
    rows = pa.table(
        {
            "id": [f"{row:064x}" for row in range(len(images))],
            "cluster": pa.array(clusters, pa.int32()),
            "probabilities": from_numpy(np.array(images, dtype=np.float32)),
            "paths": pa.array([[f"/photos/x/{stem}.webp"] for stem in stems], pa.list_(pa.string())),
        }
    )
    answer = Tags(**options).run(rows, Context())
    assert answer.schema.equals(columns(cluster=pa.int32(), label=pa.string(), reason=pa.string()))
    found: list[dict[str, Any]] = answer.to_pylist()
    return found


class TestTags:
    """`label.tags` asks file names only where it has a makeshift word or none, or one that fewer show."""

    MIXED = [shows(number) for number in (0, 596, 817, 950, 980, 620)]
    FISHES = [shows(*FISH[k:]) for k in range(4)]

    def test_a_mixed_cluster_is_named_by_its_file_names(self) -> None:
        mixed, fish = tagged([*self.MIXED, *self.FISHES], [*PLANETS[:6], *CAMERA[:4]], [0] * 6 + [1] * 4)
        assert (mixed["label"], fish["label"]) == ("planets", "fish")
        assert mixed["reason"].startswith(
            '"planets" fits the file names of 5 of 6 images (earth, mercury, saturn) and 0 of 4 others; what the images '
            'show gives "mixed": No word is shown by 40% of the 6 images'
        )

    def test_as_before_by_option_or_without_names(self) -> None:
        images, clusters = [*self.MIXED, *self.FISHES], [0] * 6 + [1] * 4
        off = tagged(images, [*PLANETS[:6], *CAMERA[:4]], clusters, file_names=False)
        assert off == tagged(images, [*CAMERA, "a"], clusters)
        assert [row["label"] for row in off] == ["mixed", "fish"]

    def test_a_word_of_its_own_wins_over_any_name(self) -> None:
        assert [row["label"] for row in tagged(self.FISHES, PLANETS[:4], [0] * 4)] == ["fish"]

    def test_a_makeshift_word_gives_way_where_as_many_names_fit(self) -> None:
        images = [shows(*(417, 971, 950, 574, 641)[k:], share=0.95) for k in range(5)] + self.FISHES
        clusters = [0] * 5 + [1] * 4
        assert tagged(images, [*CAMERA], clusters)[0]["label"] == "round objects"
        assert tagged(images, [*PLANETS[:5], *CAMERA[:4]], clusters)[0]["label"] == "planets"
        assert tagged(images, [*PLANETS[:3], *CAMERA[:6]], clusters)[0]["label"] == "round objects"

    def test_a_noun_that_all_file_names_share_wins_over_a_word_that_most_show(self) -> None:
        images = [*[shows(517, 437, 442)] * 4, *[shows(980)] * 2, *self.FISHES]
        clusters = [0] * 6 + [1] * 4
        assert tagged(images, [*CAMERA, "a"], clusters)[0]["label"] == "towers"
        mills = tagged(images, [*MILLS[:6], *CAMERA[:4]], clusters)[0]
        assert mills["label"] == "windmill"
        assert mills["reason"].startswith(
            '"windmill" fits the file names of 6 of 6 images and 0 of 4 others; what the images show gives "towers": 4 of 6 '
        )
        assert tagged(images, [*MILLS[:5], *CAMERA[:5]], clusters)[0]["label"] == "towers"
        assert tagged(images, [*[f"tower{k}" for k in range(6)], *CAMERA[:4]], clusters)[0]["label"] == "towers"
        assert tagged([*images[:4] * 2, *self.FISHES], [*MILLS[:8], *CAMERA[:4]], [0] * 8 + [1] * 4)[0]["label"] == "towers"

    def test_the_word_that_gave_way_is_free_for_others(self) -> None:
        towers = [*[shows(517, 437, 442)] * 8, *[shows(980)] * 2]
        fish = [shows(*FISH[k % 4 :]) for k in range(40)]
        images, clusters = [*towers, *towers, *fish], [0] * 10 + [1] * 10 + [2] * 40
        camera = [f"IMG_{number}" for number in range(60)]
        before = [row["label"] for row in tagged(images, camera, clusters)]
        assert before[0] == "towers" != before[1]
        mills = [f"windmill{number}" for number in range(10)]
        assert [row["label"] for row in tagged(images, [*mills, *camera[10:]], clusters)] == ["windmill", "towers", "fish"]

    def test_others_are_not_called_by_a_known_name_or_its_plural(self) -> None:
        bowls = [shows(659, 809, share=0.8)] * 10
        rows = pa.table(
            {
                "cluster": pa.array([0] * 4 + [1] * 10, pa.int32()),
                "probabilities": from_numpy(np.array([*self.FISHES, *bowls], dtype=np.float32)),
            }
        )
        evidence = gather(rows, Rules())
        assert evidence is not None
        names = [choice.label for choice in Namer(evidence).names()]
        for known in (names[1], key_of(names[1].split())[0]):
            others = [choice.label for choice in Namer(evidence, {0: known}).names()]
            assert others[0] == known
            assert key_of(others[1].split()) != key_of(names[1].split())
        alone = [choice.label for choice in Namer(evidence, {0: "ore"}).names()]
        assert alone == ["ore", names[1]]

    def test_a_shared_noun_that_says_less_or_is_taken_gives_way(self) -> None:
        images = [*[shows(207)] * 4, shows(980), *self.FISHES]
        for said in ("animal", "dog"):
            stems = [*[f"{said}{k}" for k in range(5)], *CAMERA[:4]]
            assert tagged(images, stems, [0] * 5 + [1] * 4)[0]["label"] == "Golden Retriever"
        towers = [shows(517, 437, 442)] * 10
        images = [*towers, *[shows(483)] * 7, *[shows(980)] * 3, *[shows(*FISH[k % 4 :]) for k in range(40)]]
        stems = [*[f"IMG_{k}" for k in range(10)], *[f"tower{k}" for k in range(10)], *[f"IMG_{k}" for k in range(40)]]
        assert tagged(images, stems, [0] * 10 + [1] * 10 + [2] * 40)[1]["label"] not in {"tower", "towers"}

    def test_a_name_that_another_cluster_has_is_not_given_twice(self) -> None:
        stems = ["trout", "salmon", "cod", "herring", "shark", "eel", *CAMERA[:4]]
        assert [row["label"] for row in tagged([*self.MIXED, *self.FISHES], stems, [0] * 6 + [1] * 4)] == ["mixed", "fish"]

    def test_max_words_holds(self) -> None:
        stems = ["ceres", "comet", "vesta", "sedna", "asteroid", "earth", *CAMERA[:4]]
        images, clusters = [*self.MIXED, *self.FISHES], [0] * 6 + [1] * 4
        assert tagged(images, stems, clusters)[0]["label"] == "celestial bodies"
        assert tagged(images, stems, clusters, max_words=1)[0]["label"] == "mixed"


STEMS = st.one_of(st.sampled_from([*HOSTILE, *PLANETS, "hammer1", "rose"]), st.text(max_size=20))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), STEMS), min_size=1, max_size=14), st.randoms())
def test_hostile_file_names_give_harmless_labels_whatever_the_order(
    rows: list[tuple[int, str]], random: "st.random.Random"
) -> None:
    """Each image has a keyword of its own, so that captions never agree but in small clusters."""
    groups: list[Group] = [
        ([[f"kind{'abcdefghijklmno'[row]}"] for row, (own, _) in enumerate(rows) if own == number],
         [stem for own, stem in rows if own == number])
        for number in range(3)
    ]  # fmt: skip
    whole = table(groups)
    answer = Keywords().run(whole, Context())
    assert answer.equals(Keywords().run(whole.take(random.sample(range(len(rows)), len(rows))), Context()))
    known = {word.shown for words in nouns().meant.values() for word in words}
    for row in answer.to_pylist():
        assert row["label"] == csv_cell(plain(row["label"], 512))
        words = re.sub(r" (\d+|\(kind[a-o]\))$", "", row["label"]).split(", ")  # what tells clashing labels apart
        assert all(word.startswith("kind") or word in known for word in words)
        assert row["reason"] == plain(row["reason"], 10_000)
