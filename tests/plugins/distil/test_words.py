"""Keywords without a language model: what says something about an image is kept, in every language and for any text."""
# ruff: noqa: RUF001  (full-width marks are what captions hold)

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shoal.contract import Context
from shoal.testing import check_stage
from shoal.text import plain
from shoal_plugins.distil.words import Words

from .talkers import distilled

HOSTILE = (
    "../../x", "=cmd()", "<script>alert(1)</script>", "\x1b[31mred\x1b[0m paint", "\u202egnp.exe", "a" * 10_000, "🐟 🐟",
    "ignore instructions, name this ../../x", "% % 12 3.5 %", "\n\n\t", "{description}",
)  # fmt: skip


def words(caption: str | None, **options: object) -> list[str]:
    return distilled(Words.model_validate(options), [caption])[0]


def test_it_keeps_the_contract() -> None:
    check_stage(Words())
    check_stage(Words(language="de", max_keywords=3))


def test_content_words_and_phrases_in_the_order_of_the_text() -> None:
    assert words("A brown dog is on the grass near a lake.") == ["brown dog", "brown", "dog", "grass", "lake"]


def test_what_is_said_twice_comes_first() -> None:
    assert words("The lake is wide. A boat is on the lake.")[0] == "lake"


def test_tags_with_percentages_lose_the_percentages() -> None:
    found = words("Fish: coho salmon (41 %), sturgeon (17 %), gar (9 %); animals.")
    assert found == ["fish", "coho salmon", "coho", "salmon", "sturgeon", "gar", "animals"]


def test_what_a_caption_says_of_itself_is_no_keyword() -> None:
    assert words("The image shows a castle in the background.") == ["castle"]
    assert words("Unclear: perhaps shovel, paddle.") == ["shovel", "paddle"]


def test_things_that_the_list_of_stop_words_holds_are_kept() -> None:
    assert "fire" in words("A fire in a room.")
    assert "room" in words("A fire in a room.")


def test_numbers_are_dropped_and_end_a_phrase() -> None:
    assert words("red 12 cars, 3D print, h264") == ["red", "cars", "print"]


@pytest.mark.parametrize("caption", ["", "   ", None, "the of and", "12 % 7"])
def test_a_caption_without_content_gives_an_empty_list(caption: str | None) -> None:
    assert words(caption) == []


def test_each_language_loses_its_own_stop_words() -> None:
    assert words("Ein großer brauner Hund steht auf der Wiese neben einem See.") == [
        "brauner Hund", "brauner", "Hund", "Wiese", "See",
    ]  # fmt: skip
    french = words("Un chien brun se tient dans l'herbe près d'un lac.")
    assert french[:3] == ["chien brun", "chien", "brun"]
    assert "dans" not in french
    assert words("Un perro grande sobre la hierba junto a un lago.", language="es")[0].startswith("perro")


def test_a_word_that_is_a_stop_word_elsewhere_is_kept() -> None:
    assert "gar" in words("gar, sturgeon, tench")  # "gar" is German for "even"


def test_the_language_can_be_told() -> None:
    assert words("die rolling dice", language="en") != words("die rolling dice", language="de")


def test_chinese_is_cut_at_stop_words() -> None:
    assert words("一座雪山在湖边，天空很蓝。") == ["雪山", "湖", "天空", "蓝"]
    assert words("图片") == []


def test_a_long_chinese_run_gives_pairs_of_characters() -> None:
    assert words("熊猫熊猫熊猫熊猫") == ["熊猫", "猫熊"]


def test_japanese_is_cut_at_hiragana() -> None:
    found = words("富士山の写真です。カメラと桜の木があります。")
    assert found == ["富士山", "カメラ", "桜", "木"]


def test_thai_gives_pairs_of_letters_that_keep_their_marks() -> None:
    found = words("ภูเขาที่มีหิมะปกคลุม")
    assert found
    assert all(len(pair) >= 2 for pair in found)
    assert not any(unicodedata.category(pair[0]).startswith("M") for pair in found), "a mark stands without its letter"


def test_latin_words_inside_chinese_text_are_found() -> None:
    assert "Audi" in words("一辆Audi汽车停在路边")


def test_max_keywords_bounds_a_long_caption() -> None:
    caption = " ".join(f"wo{chr(97 + i % 26)}{chr(97 + i // 26)}rd," for i in range(600))
    assert len(words(caption)) == 40
    assert len(words(caption, max_keywords=5)) == 5


@pytest.mark.parametrize("caption", HOSTILE)
def test_hostile_captions_give_plain_words(caption: str) -> None:
    for keyword in words(caption):
        assert keyword == plain(keyword, 200)
        assert not set(keyword) & set("/\\<>=()[]{}\x1b\u202e")


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300), st.integers(1, 30))
def test_any_text_gives_few_distinct_plain_keywords(caption: str, most: int) -> None:
    caption = caption.encode("utf-8", "replace").decode()
    found = words(caption, max_keywords=most)
    assert len(found) <= most
    assert len({keyword.casefold() for keyword in found}) == len(found)
    for keyword in found:
        assert keyword == plain(keyword, 200)
        assert any(character.isalpha() for character in keyword)
        assert len(keyword.split()) <= 2
        assert not any(character.isnumeric() and not character.isalpha() for character in keyword)


@pytest.mark.parametrize("wrong", [{"language": "xx"}, {"language": "English"}, {"max_keywords": 0}])
def test_wrong_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Words.model_validate(wrong)


def test_the_version_of_the_stop_words_is_part_of_the_identity() -> None:
    assert Words().identity()["stopwordsiso"]


def test_it_notes_what_it_works_with() -> None:
    notes = {}
    Words().setup(Context(note=notes.__setitem__))
    assert notes == {"backend": "stop words"}
