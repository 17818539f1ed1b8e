"""The nouns that are looked for in file names, their broader words, and the tool that makes the table from WordNet."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import UsageError
from shoal_plugins.label._nouns import nouns, parse
from shoal_plugins.label._words import NAME
from shoal_plugins.label.make_nouns import WordNet, fill, main, read


def broader(noun: str) -> frozenset[str]:
    return frozenset(word.shown for word in nouns().meant[noun.replace(" ", "")][1:])


def found(*words: str) -> list[str]:
    return [nouns().meant[key][0].shown for key in nouns().find(words)]


def test_words_are_short_plain_and_known() -> None:
    for noun, *broader_words in nouns().meant.values():
        assert re.fullmatch("[a-z]{2,}( [a-z]{2,}){0,2}", noun.shown)
        assert not noun.broader
        assert broader_words
        assert all(
            word.broader and NAME.fullmatch(word.shown) and noun.chance <= word.chance < 0.3 for word in broader_words
        )


def test_nouns_have_the_broader_words_that_people_say() -> None:
    for planet in ("mercury", "venus", "earth", "mars", "jupiter", "saturn", "uranus", "neptune"):
        assert {"planets", "celestial bodies"} <= broader(planet)
    assert "planets" not in broader("sun")
    assert {"dogs", "mammals", "animals"} <= broader("great dane")
    assert "tools" in broader("screwdriver")
    assert {"wind instruments", "musical instruments"} <= broader("trumpet")


@pytest.mark.parametrize("word", ["france", "paris", "mary", "canis familiaris", "img", "dsc", "pxl", "screenshot"])
def test_places_people_latin_and_what_cameras_write_are_no_nouns(word: str) -> None:
    assert word.replace(" ", "") not in nouns().meant


@pytest.mark.parametrize(
    ("noun", "said"),
    [("dog", "animals"), ("dog", "mammals"), ("poodle", "dogs"), ("windmill", "towers"), ("windmill", "construction crane"),
     ("hammer", "tools"), ("penguin", "dog"), ("windmill", "xyzzy"), ("hammer", "machines"), ("owl", "birds of prey")],
)  # fmt: skip
def test_a_kind_of_what_is_said_or_something_else_as_narrow_says_more(noun: str, said: str) -> None:
    assert nouns().says_more(noun, said.split())


@pytest.mark.parametrize(
    ("noun", "said"),
    [("animal", "dogs"), ("animal", "wolves"), ("animal", "Golden Retriever"), ("animal", "killer whale"),
     ("bird", "bald eagle"), ("dog", "hound"), ("dog", "Golden Retriever"), ("canine", "hound"), ("beast", "hound"),
     ("fish", "great white shark"),
     ("tool", "hand tools"), ("hand tool", "hand tools"), ("knife", "kitchen knives"), ("bus", "school buses"),
     ("vehicle", "sports car"), ("poodle", "hound"), ("edifice", "castle"), ("beast", "rhinoceros"),
     ("building", "towers"), ("tower", "towers"), ("animal", "xyzzy"), ("bird", "geese")],
)  # fmt: skip
def test_the_same_or_a_wider_word_does_not_say_more(noun: str, said: str) -> None:
    assert not nouns().says_more(noun, said.split())


def test_plurals_that_follow_no_rule_are_nouns_too() -> None:
    assert found("wolves", "knives", "buses", "mice") == ["wolf", "knife", "bus", "mouse"]


def test_the_longest_noun_is_found_in_any_number_and_spelling() -> None:
    assert found("scarlet", "macaw") == ["macaw"]
    assert found("flying", "fox", "tree") == ["flying fox", "tree"]
    assert found("screw", "driver") == found("screwdrivers") == ["screwdriver"]
    assert found("scissors", "cherries") == ["scissors", "cherry"]
    assert found("img", "xyzzy") == found() == []


@given(
    st.lists(st.one_of(st.sampled_from(["polar", "bear", "dogs", "flying", "fox", "x"]), st.text(max_size=6)), max_size=9)
)
def test_only_known_nouns_are_found_and_each_word_counts_once(words: list[str]) -> None:
    keys = list(nouns().find(words))
    assert set(keys) <= nouns().meant.keys()
    assert len(keys) <= len(words)


def test_a_table_is_read_with_wider_rows_and_shares() -> None:
    made = parse("# note\n\npets\tn1\t\tcat polar_bear\ndogs\tn2\tpets\tpug\n").meant
    assert [word.shown for word in made["polarbear"]] == ["polar bear", "pets"]
    assert [(word.shown, word.chance) for word in made["pug"]] == [
        ("pug", pytest.approx(1 / 3)),
        ("dogs", pytest.approx(1 / 3)),
        ("pets", 1),
    ]


def test_the_words_that_are_kept_come_with_wordnets_licence() -> None:
    assert "nouns.tsv" in files("shoal_plugins.label").joinpath("NOTICE").read_text("utf-8").splitlines()[0]


DATA = """  1 a licence line
00000001 03 n 01 body 0 000 | all | of them
00000002 17 n 01 planet 0 001 @ 00000001 n 0000 | it circles
00000003 17 n 02 Mars 0 Red_Planet 0 001 @i 00000002 n 0000 | red
00000004 17 n 02 gas_planet 0 gas-giant 0 002 @ 00000002 n 0000 ~ 00000003 n 0000 | large
00000005 05 n 04 dog 0 Canis_familiaris 0 German_shepherd 0 Ox5 0 001 @ 00000001 n 0000 | it barks
00000006 05 n 01 Canis 0 000 | genus
00000007 18 n 01 shepherd 0 000 | herds
"""
INDEX = """  1 a licence line
body n 1 1 ~ 1 1 00000001
planet n 1 1 @ 1 1 00000002
mars n 1 1 @i 1 1 00000003
red_planet n 1 1 @i 1 0 00000003
gas_planet n 1 1 @ 1 0 00000004
gas-giant n 1 1 @ 1 0 00000004
dog n 4 1 @ 4 1 00000007 00000006 00000001 00000005
canis_familiaris n 1 1 @ 1 0 00000005
german_shepherd n 1 1 @ 1 0 00000005
canis n 1 1 @ 1 0 00000006
shepherd n 1 1 @ 1 0 00000007
"""


@pytest.fixture
def wordnet() -> WordNet:
    return read(DATA, INDEX)


def test_instances_count_only_where_they_are_asked_for(wordnet: WordNet) -> None:
    assert wordnet.under("n00000002") == {"n00000002", "n00000004"}
    assert wordnet.under("n00000002*") == {"n00000002", "n00000003", "n00000004"}
    assert wordnet.nouns(wordnet.under("n00000002*")) == {"planet", "mars", "gas_giant"}  # a gas planet is a planet anyway


def test_latin_and_rare_senses_are_left_out(wordnet: WordNet) -> None:
    assert wordnet.nouns(wordnet.under("n00000005")) == {"german_shepherd"}  # a dog is this in its fourth sense only


def test_rows_are_filled_with_wider_rows_and_the_nouns_of_no_narrower_one(wordnet: WordNet) -> None:
    table = "# note\nbodies\tn00000001\nplanets\tn00000002*\told\tolder\n"
    apart = (
        "# note\nbodies\tn00000001\t\tbody gas_giant german_shepherd planet\nplanets\tn00000002*\t\tgas_giant mars planet\n"
    )
    assert fill(table, wordnet) == apart  # no body holds the instance, so the row of bodies is not the wider one
    wide = fill("bodies\tn00000001*\nplanets\tn00000002\n", wordnet)
    assert wide == "bodies\tn00000001*\t\tbody german_shepherd mars\nplanets\tn00000002\tbodies\tgas_giant planet\n"
    assert fill(wide, wordnet) == wide


def test_another_wordnet_is_refused(wordnet: WordNet) -> None:
    with pytest.raises(UsageError, match=r"take the file of WordNet 3\.0"):
        wordnet.under("n99999999")


def test_the_tool_wants_two_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"DATA_NOUN INDEX_NOUN"):
        main([str(tmp_path)])
