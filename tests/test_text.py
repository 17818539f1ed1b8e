"""Text that would steer a terminal or a spreadsheet does not."""

import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.text import amount, csv_cell, terminal

ANY = st.text(st.characters(), max_size=100)
NASTY = st.text(st.sampled_from("\x1b[]0;m\x07\\P\x9b\x9d\x9c31aé\r\n\t\u202e\u200b\ud800=+-@ \uff1d"), max_size=60)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本 👨\u200d👩", "plain é 日本 👨\u200d👩"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\x", "x"),
        ("\x1b(0line\x1bc", "line"),
        ("a\r\nb\tc", "a b c"),
        ("bell\x07 back\x08space", "bell backspace"),
        ("abc\u202egpj.exe", "abcgpj.exe"),
        ("\ud800", "\ufffd"),
    ],
)
def test_terminal_strips_what_steers(text: str, shown: str) -> None:
    assert terminal(text) == shown


@given(ANY | NASTY)
def test_terminal_leaves_no_control_character(text: str) -> None:
    shown = terminal(text)
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u200b")
    assert terminal(shown) == shown


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\n=1", "\r=1", "  =1", "\uff1d1", "\u00a0@x", "-"]
)
def test_csv_cell_defuses_formulas(text: str) -> None:
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", " ", "fish", "a=b", "1-2", "'=1"])
def test_csv_cell_leaves_the_rest(text: str) -> None:
    assert csv_cell(text) == text


@given(ANY | NASTY)
def test_csv_cell_is_idempotent_and_survives_a_csv_file(text: str) -> None:
    cell = csv_cell(text)
    assert csv_cell(cell) == cell
    assert cell.lstrip()[:1] not in tuple("=+-@")
    plain = cell.replace("\x00", "").replace("\ud800", "")
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL).writerow([plain])
    file.seek(0)
    assert next(csv.reader(file)) == [plain]


def test_one_thing_is_told_as_one() -> None:
    assert [amount(count, "task") for count in (0, 1, 2_000)] == ["0 tasks", "1 task", "2,000 tasks"]
    assert [amount(count, "answer counts", "answers count") for count in (1, 2)] == ["1 answer counts", "2 answers count"]
