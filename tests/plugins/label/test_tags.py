"""Clusters get names that people understand, distinct and with a reason; small and odd sets have a defined answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError

from shoal.testing import check_stage
from shoal_plugins.label.tags import Tags

from .fixtures import BIRDS, CARS, DOGS, FISH, TOOLS, Floats, group, labels, name, shows


def test_it_keeps_the_contract() -> None:
    check_stage(Tags())


def test_members_that_differ_get_the_broader_word() -> None:
    images = group(FISH, 16) + group(TOOLS, 10) + group(DOGS, 12)
    assert labels(images, [0] * 16 + [1] * 10 + [2] * 12) == ["fish", "hand tools", "dogs"]


def test_members_that_agree_get_the_narrow_word() -> None:
    images = [shows(587)] * 8 + [shows(1)] * 8 + group(DOGS, 8)
    assert labels(images, [0] * 8 + [1] * 8 + [2] * 8) == ["hammer", "goldfish", "dogs"]


def test_a_zoo_beside_dogs_is_called_animals() -> None:
    zoo = [shows(number) for number in (9, 49, 105, 291, 340, 386, 30, 76, 1)]
    assert labels(group(DOGS, 9) + zoo, [0] * 9 + [1] * 9) == ["dogs", "animals"]


def test_the_second_cluster_of_a_word_is_told_apart() -> None:
    eels = [shows(390, 0)] * 3 + [shows(391, 0)] * 5 + [shows(395, 394)] * 2
    others = group(FISH, 20)
    first, second = labels(others + eels, [0] * 20 + [1] * 10)
    assert first == "fish"
    assert second in {"silver salmon", "fish (eel)", "fish (silver salmon)", "fish (tench)"}


def test_equal_clusters_still_get_distinct_names() -> None:
    images = group(FISH, 8) * 4
    given_names = labels(images, [i // 8 for i in range(32)])
    assert len(set(given_names)) == 4
    assert given_names[0] == "fish"


def test_a_cluster_whose_members_share_nothing_says_so() -> None:
    odds = [shows(number) for number in (113, 920, 963, 817, 207, 402, 980, 651)]
    row = name(group(FISH, 8) + odds, [0] * 8 + [1] * 8)[1]
    assert row["label"] == "mixed"
    assert row["reason"].startswith("No word is shown by 40% of the 8 images")


def test_a_cluster_with_half_the_support_is_mixed_with_a_hint() -> None:
    odds = [shows(number) for number in (1, 920, 963, 402, 980, 651)] + [shows(818)] * 2
    row = name(group(DOGS, 8) + odds, [0] * 8 + [1] * 8)[1]
    assert row["label"] == "mixed (spotlight)"
    assert "2 show spotlight" in row["reason"]


def test_the_reason_says_which_classes_how_many_members_and_the_lift() -> None:
    reason = name(group(FISH, 16) + group(DOGS, 16), [0] * 16 + [1] * 16)[0]["reason"]
    assert reason.startswith("16 of 16 images show fish, mostly ")
    assert "2.0 times as probable as in the whole set" in reason
    assert reason.endswith(".")
    assert "; next best: " in reason


def test_no_rows_and_only_noise_give_no_names() -> None:
    assert name([], []) == []
    assert name(group(FISH, 3), [-1, -1, -1]) == []


def test_one_cluster_that_is_the_whole_set_gets_a_name() -> None:
    row = name(group(BIRDS, 12), [0] * 12)[0]
    assert row["label"] == "birds"
    assert "as in the whole set" in row["reason"]


def test_one_image_gets_its_class() -> None:
    assert labels([shows(340)], [0]) == ["zebra"]


def test_an_image_that_shows_nothing_is_mixed() -> None:
    assert labels([np.full(1000, 0.001, np.float32)], [0]) == ["mixed"]


def test_noise_counts_in_the_whole_set_only() -> None:
    images = group(CARS, 8) + group(FISH, 8)
    rows = name(images, [0] * 8 + [-1] * 8)
    assert [row["label"] for row in rows] == ["cars"]
    assert "2.0 times" in rows[0]["reason"]


def test_gaps_in_cluster_numbers_are_kept() -> None:
    rows = name(group(FISH, 8) + group(DOGS, 8), [7] * 8 + [3] * 8)
    assert [(row["cluster"], row["label"]) for row in rows] == [(3, "dogs"), (7, "fish")]


def test_max_words_keeps_labels_short() -> None:
    images = group((401, 541, 889, 776), 8)
    assert labels(images, [0] * 8) == ["musical instruments"]
    (short,) = labels(images, [0] * 8, Tags(max_words=1))
    assert len(short.split()) == 1


def test_min_support_asks_for_more_members() -> None:
    images = [*group(FISH, 6), shows(963), shows(920), shows(980), shows(651)]
    assert labels(images, [0] * 10) == ["fish"]
    assert labels(images, [0] * 10, Tags(min_support=0.9)) == ["mixed (fish)"]


def test_alternatives_limits_what_the_reason_tells() -> None:
    images = group(FISH, 8) + group(DOGS, 8)
    assert "next best" not in name(images, [0] * 8 + [1] * 8, Tags(alternatives=0))[0]["reason"]


@pytest.mark.parametrize("wrong", [{"contrast": 1.0}, {"evidence": 0}, {"min_support": 1.5}, {"max_words": 0}, {"words": 3}])
def test_options_out_of_bounds_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Tags.model_validate(wrong)


@settings(max_examples=25, deadline=None)
@given(
    arrays.arrays(
        np.float32, st.tuples(st.integers(1, 9), st.just(1000)), elements=st.floats(0, 1, width=32), fill=st.just(0.0)
    ),
    st.data(),
)
def test_any_rows_give_every_cluster_one_short_distinct_name(rows: Floats, data: st.DataObject) -> None:
    totals = rows.sum(axis=1, keepdims=True)
    images = list(np.where(totals > 0, rows / np.maximum(totals, 1e-6), 0.001).astype(np.float32))
    clusters = data.draw(st.lists(st.integers(-1, 4), min_size=len(images), max_size=len(images)))
    answer = name(images, clusters)
    assert [row["cluster"] for row in answer] == sorted(set(clusters) - {-1})
    assert len({row["label"] for row in answer}) == len(answer)
    assert all(1 <= len(row["label"].split()) <= 4 and row["reason"].endswith(".") for row in answer)
    assert name(images, clusters) == answer


def test_what_stands_in_brackets_is_a_kind_of_the_word() -> None:
    with_bows = [*group(FISH, 6), shows(393, 456, 397), shows(395, 456, 394)]
    second = labels(group(FISH, 16) + with_bows, [0] * 16 + [1] * 8)[1]
    assert second.startswith("fish")
    assert "hunting bow" not in second
