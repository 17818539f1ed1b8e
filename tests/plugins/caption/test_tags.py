from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shoal.contract import Batch, Context
from shoal.errors import StageError
from shoal.testing import check_stage
from shoal.vectors import from_numpy
from shoal_plugins.caption import tags as module
from shoal_plugins.caption.tags import Tags
from shoal_plugins.label._words import Word

Floats = NDArray[np.float32]
HAMMER, HATCHET, SALMON, STURGEON, GAR, CASTLE, TENCH, ORANGE = 587, 596, 391, 394, 395, 483, 0, 950


def shares(values: dict[int, float]) -> Floats:
    """Return probabilities: what is said, and the rest spread evenly over all classes."""
    row = np.full(1000, (1 - sum(values.values())) / 1000)
    for number, share in values.items():
        row[number] += share
    return row.astype(np.float32)


def batch(rows: Sequence[Floats]) -> Batch:
    ids = pa.array([f"{row:064x}" for row in range(len(rows))])
    return Batch(pa.table([ids, from_numpy(np.array(rows).reshape(-1, 1000))], names=["id", "probabilities"]))


def say(values: dict[int, float], **options: Any) -> str:
    return str(Tags(**options).map(batch([shares(values)]))["caption"][0])


@pytest.mark.parametrize("options", [{}, {"style": "words"}, {"tags": 20, "min_probability": 0, "broader": 0.1}])
def test_it_keeps_the_contract(options: dict[str, Any]) -> None:
    check_stage(Tags(**options))


def test_the_broader_word_comes_first_then_the_likeliest_then_wider_ones() -> None:
    assert say({SALMON: 0.41, STURGEON: 0.17, GAR: 0.09}) == (
        "Fish: silver salmon (41 %), sturgeon (17 %), gar fish (9 %); animals."
    )
    assert say({HAMMER: 0.6, HATCHET: 0.2}).startswith("Hand tools: hammer (60 %), hatchet (20 %); tools")
    assert say({CASTLE: 0.9}).startswith("Monuments: castle (90 %)")


def test_what_the_options_change() -> None:
    fish = {SALMON: 0.41, STURGEON: 0.17, GAR: 0.09}
    assert say(fish, tags=1) == "Fish: silver salmon (41 %); animals."
    assert say(fish, min_probability=0.1) == "Fish: silver salmon (41 %), sturgeon (17 %); animals."
    assert say(fish, style="words") == "fish, silver salmon, sturgeon, gar fish, animals"
    assert say(fish, broader=0.9) == "Silver salmon (41 %), sturgeon (17 %), gar fish (9 %)."
    assert say(fish, min_probability=0.5) == "Fish; animals."


def test_classes_of_other_kinds_come_last() -> None:
    assert say({HAMMER: 0.3, TENCH: 0.25}) == "Hand tools: hammer (30 %); tools; tench (25 %)."


def test_classes_that_no_broader_word_holds_together_are_named_alone() -> None:
    assert say({HAMMER: 0.3, TENCH: 0.25}, broader=0.5) == "Hammer (30 %), tench (25 %)."


def test_an_image_that_nothing_fits_is_unclear() -> None:
    assert say({HAMMER: 0.04, TENCH: 0.03, ORANGE: 0.02}) == "Unclear: perhaps hammer, tench, orange."
    assert say({HAMMER: 0.04}, style="words") == "hammer"
    for options in ({}, {"style": "words", "min_probability": 0}):
        assert Tags(**options).map(batch([shares({})]))["caption"].to_pylist() == [None]


def test_a_class_is_not_named_twice() -> None:
    for number in range(1000):
        words = say({number: 0.95}, style="words").split(", ")
        assert len(words) == len(set(words)), words


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(0, 999), st.floats(0, 0.2), max_size=5), st.floats(0, 1), st.floats(0.01, 1))
def test_any_probabilities_have_a_sentence(values: dict[int, float], least: float, broader: float) -> None:
    text = say(values, min_probability=least, broader=broader)
    if text == "None":  # nothing is likelier than by chance
        assert max(values.values(), default=0) < 0.002
        return
    assert text.endswith(".")
    assert text[0].isupper() or not text[0].isalpha()


def test_a_row_never_depends_on_its_batch() -> None:
    rng = np.random.default_rng(0)
    raw = np.exp(rng.normal(size=(60, 1000)) * 3)
    rows = list((raw / raw.sum(axis=1, keepdims=True)).astype(np.float32))
    together = Tags().map(batch(rows))["caption"].to_pylist()
    assert together == [Tags().map(batch([row]))["caption"][0].as_py() for row in rows]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.5, 7.0])
def test_a_wrong_probability_is_told(wrong: float) -> None:
    row = shares({HAMMER: 0.5})
    row[3] = wrong
    with pytest.raises(StageError, match="no number from 0 to 1"):
        Tags().map(batch([row]))


def test_a_missing_row_is_told() -> None:
    column = pa.array([None], pa.list_(pa.float32(), 1000))
    with pytest.raises(StageError, match=r"let embed\.lite0 make them"):
        Tags().map(Batch(pa.table({"id": ["a"], "probabilities": column})))


def test_the_record_says_what_the_captions_are() -> None:
    notes: dict[str, Any] = {}
    Tags().setup(Context(note=notes.__setitem__))
    assert notes["backend"] == "tags"
    assert "not written by a vision-language model" in notes["captions"]


def test_other_words_make_another_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Tags().identity()
    module._digest.cache_clear()
    monkeypatch.setattr(module, "vocabulary", lambda: (Word("fishes", 1.0, (0, 1)),))
    other = Tags().identity()
    module._digest.cache_clear()
    assert other != before


@pytest.mark.parametrize("wrong", [{"tags": 0}, {"broader": 0}, {"min_probability": 2}, {"style": "poem"}, {"model": "x"}])
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Tags(**wrong)
