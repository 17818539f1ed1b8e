"""The words are readable and cover what they say; the tool that makes the table reads WordNet's format."""

import re
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import UsageError
from shoal_plugins.label._words import NAME, class_names, membership, parse, parse_ranges, vocabulary
from shoal_plugins.label.make_words import classes_under, fill, hypernyms, main, ranges, resolve

JARGON = {
    "instrumentality",
    "artifact",
    "whole",
    "chordate",
    "placental",
    "vertebrate",
    "entity",
    "organism",
    "device",
    "matter",
}


def covered(word: str) -> set[str]:
    (found,) = [entry for entry in vocabulary() if entry.name == word]
    return {class_names()[number] for number in found.classes}


def test_names_are_short_plain_and_distinct() -> None:
    names = [word.name for word in vocabulary()]
    assert all(NAME.fullmatch(name) for name in names), [name for name in names if not NAME.fullmatch(name)]
    assert len({name.casefold() for name in names}) == len(names)


def test_no_name_is_lexicographers_jargon() -> None:
    words = {part for word in vocabulary() for part in re.split(r"\W+", word.name.casefold())}
    assert not words & JARGON


def test_every_class_can_be_said() -> None:
    assert set().union(*(word.classes for word in vocabulary())) == set(range(1000))
    single = {word.classes[0] for word in vocabulary() if len(word.classes) == 1}
    assert len(single) >= 990


def test_words_cover_what_they_say() -> None:
    assert {"tench", "goldfish", "stingray"} <= covered("fish")
    assert {"hammer", "screwdriver", "power drill"} <= covered("tools")
    assert {"palace", "triumphal arch", "obelisk"} <= covered("monuments")
    assert "grey whale" not in covered("fish")
    assert len(covered("dogs")) == 118


def test_membership_holds_each_word_once() -> None:
    covers = membership(vocabulary())
    assert covers.shape == (1000, len(vocabulary()))
    assert np.array_equal(covers.sum(axis=0), [len(word.classes) for word in vocabulary()])


def test_the_words_that_are_kept_come_with_wordnets_licence() -> None:
    notice = files("shoal_plugins.label").joinpath("NOTICE").read_text("utf-8")
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in notice


@given(st.sets(st.integers(0, 999)))
def test_ranges_are_read_back(numbers: set[int]) -> None:
    assert parse_ranges(ranges(sorted(numbers))) == tuple(sorted(numbers))


def wordnet(*synsets: tuple[str, str, list[int]]) -> tuple[bytes, list[str]]:
    """Return a little `data.noun` and the wnids of its synsets, given as (words, gloss, numbers of parents before)."""
    text = "  1 a licence line\n"
    wnids: list[str] = []
    for words, gloss, parents in synsets:
        offset = f"{len(text):08d}"
        names = words.split()
        spelt = " ".join(f"{word} {i:x}" for i, word in enumerate(names))
        above = "".join(f"@ {wnids[parent][1:]} n 0000 " for parent in parents)
        text += f"{offset} 05 n {len(names):02x} {spelt} {len(parents) + 1:03d} {above}~ 00000000 n 0000 | {gloss}\n"
        wnids.append(f"n{offset}")
    return text.encode(), wnids


NOUNS, WNIDS = wordnet(
    ("animal beast", "it lives | truly", []),
    ("pet", "kept at home", []),
    ("dog domestic_dog Canis_familiaris", "barks", [0, 1]),
    ("wolf", "howls", [0]),
)


def test_hypernyms_are_all_parents_and_nothing_else() -> None:
    assert hypernyms(NOUNS, WNIDS[2]) == [WNIDS[0], WNIDS[1]]
    assert hypernyms(NOUNS, WNIDS[0]) == []


def test_another_wordnet_is_refused() -> None:
    with pytest.raises(UsageError, match=r"take the file of WordNet 3\.0"):
        hypernyms(NOUNS, "n00000003")


def test_the_column_of_classes_is_made_from_synsets() -> None:
    under = classes_under(NOUNS, WNIDS[2:])
    assert under[WNIDS[0]] == {0, 1}
    assert under[WNIDS[1]] == {0}
    assert resolve(f"{WNIDS[0]} -{WNIDS[1]} 7", under) == [1, 7]
    table = f"# note\nanimals\t0.8\t{WNIDS[0]} 2\told\n"
    assert fill(table, NOUNS, WNIDS[2:]) == f"# note\nanimals\t0.8\t{WNIDS[0]} 2\t0-2\n"
    assert parse(fill(table, NOUNS, WNIDS[2:]))[0].classes == (0, 1, 2)


def test_a_synset_without_classes_is_refused() -> None:
    with pytest.raises(UsageError, match="holds no ImageNet class"):
        resolve("n99999999", {})


def test_the_tool_wants_one_file() -> None:
    with pytest.raises(UsageError, match=r"data\.noun"):
        main([])
