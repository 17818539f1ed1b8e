"""Answers of language models are read however they are written; what is no keyword is refused."""
# ruff: noqa: RUF001  (full-width marks are what models write)

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.text import plain
from shoal_plugins.distil._answers import LABEL_WORDS, LONGEST, MOST_WORDS, keywords, label

LIKE_THIS = ["dog", "green grass", "lake"]


@pytest.mark.parametrize(
    "answer",
    [
        "dog, green grass, lake",
        "dog; green grass; lake.",
        "dog\ngreen grass\nlake",
        "1. dog\n2. green grass\n3. lake",
        "1) dog 2) green grass 3) lake",
        "1. dog 2. green grass 3. lake",
        "- dog\n- green grass\n- lake",
        "* dog * green grass * lake",
        "• dog • green grass • lake",
        "Keywords: dog, green grass, lake",
        "**Keywords:** dog, green grass, lake",
        "Here are the keywords of this image: dog, green grass, lake",
        "Here are 3 words for you:\n1. **dog**\n2. *green grass*\n3. `lake`",
        'Sure! ["dog", "green grass", "lake"]',
        '```json\n{"keywords": ["dog", "green grass", "lake"]}\n```',
        "['dog', 'green grass', 'lake']",
        "“dog”, “green grass”, and “lake”",
        "dog | green grass | lake",
        "dog / green grass / lake",
        "dog, Dog, DOG, green grass, lake",
        "<think>The user wants keywords, so: cat, mouse.</think>dog, green grass, lake",
        "#dog, #green grass, #lake",
        "dog, green grass, lake. I hope this helps you!",
        "\x1b[1mdog\x1b[0m, green grass, \u202alake",
    ],
)
def test_lists_of_every_form(answer: str) -> None:
    assert keywords(answer, 8) == LIKE_THIS


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("关键词：雪山、湖泊，天空；森林", ["雪山", "湖泊", "天空", "森林"]),
        ("キーワード：富士山、桜、湖。", ["富士山", "桜", "湖"]),
        ("كلب، عشب، بحيرة", ["كلب", "عشب", "بحيرة"]),
        ("Schlüsselwörter: Hund, grüne Wiese und See", ["Hund", "grüne Wiese und See"]),
        ("Ｄｏｇ，ｃａｔ", ["Dog", "cat"]),
    ],
)
def test_lists_in_other_languages(answer: str, expected: list[str]) -> None:
    assert keywords(answer, 8) == expected


@pytest.mark.parametrize(
    "answer",
    [
        "", "   ", "...", "12, 13, 14", "I can't see any image in this chat, so I don't know what to answer here.",
        "This is a wonderful picture that shows a brown dog on green grass near a lake", "a" * 10_000, "[]", "?!",
    ],
)  # fmt: skip
def test_sentences_and_rubbish_are_no_keywords(answer: str) -> None:
    assert keywords(answer, 8) == []


def test_there_are_at_most_as_many_as_asked_for() -> None:
    assert keywords("a b, c d, e f, g h", 2) == ["a b", "c d"]


def test_deep_brackets_do_not_break_it() -> None:
    assert keywords("[" * 5000 + "]" * 5000, 8) == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Brown dogs on green grass", "Brown dogs on green grass"),
        ("Label: Brown dogs", "Brown dogs"),
        ('"Brown dogs".', "Brown dogs"),
        ("**Brown dogs**\n\nThis label fits since there are dogs.", "Brown dogs"),
        ("The best label for this image would be: Brown dogs", "Brown dogs"),
        ("雪山と湖。", "雪山と湖"),
        ("../../x", "x"),
        ("", ""),
        ("12 34", ""),
    ],
)
def test_a_label_is_one_short_line(answer: str, expected: str) -> None:
    assert label(answer) == expected


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400), st.integers(1, 10))
def test_any_answer_gives_few_short_plain_distinct_keywords(answer: str, most: int) -> None:
    found = keywords(answer, most)
    assert len(found) <= most
    assert len({keyword.casefold() for keyword in found}) == len(found)
    for keyword in [*found, *([label(answer)] if label(answer) else [])]:
        assert keyword == plain(keyword, 1000)
        assert any(character.isalpha() for character in keyword)
    assert all(len(keyword) <= LONGEST and len(keyword.split()) <= MOST_WORDS for keyword in found)
    assert len(label(answer).split()) <= LABEL_WORDS


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["dog", "green grass", "bell tower", "雪山", "Hund", "lake"]), min_size=1, unique=True),
    st.sampled_from([", ", "; ", "\n", " | ", "、", "\n- ", "\n* "]),
    st.sampled_from(["", "Keywords: ", "**Keywords**: ", "Here are your five keywords:\n"]),
)
def test_what_was_put_together_is_taken_apart(words: list[str], separator: str, preamble: str) -> None:
    assert keywords(preamble + separator.join(words), 20) == words
