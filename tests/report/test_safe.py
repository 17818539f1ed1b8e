import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.report import json_literal, shown


@given(st.text())
def test_json_literal_keeps_the_text(text: str) -> None:
    assert json.loads(json_literal({"k": [text]})) == {"k": [text]}


@given(st.text(alphabet=st.sampled_from("</>&!-scriptfe\u2028\u2029\"'`\\ \n")))
def test_json_literal_can_not_end_a_script_nor_name_a_file(text: str) -> None:
    literal = json_literal(text)
    assert not re.search(r"[<>&\u2028\u2029\n]", literal)
    assert not re.search("[\"'`]files/", literal)


def test_json_literal_refuses_what_is_no_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_literal(float("nan"))


def test_shown_writes_steering_characters_out() -> None:
    assert shown("photo\u202egpj.exe") == "photo\\u202egpj.exe"
    assert shown("a\nb\x00") == "a\\u000ab\\u0000"


@given(st.text())
def test_shown_leaves_no_steering_character_and_changes_nothing_else(text: str) -> None:
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", shown(text))
    assert shown(shown(text)) == shown(text)


def test_shown_keeps_scripts_of_the_world() -> None:
    text = "שלום مرحبا 日本 👩‍👩‍👧‍👦 é"
    assert shown(text) == text
