"""Tables fit the terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from shoal.cli.tables import Look, cell, draw, table
from shoal.text import terminal

COLUMNS = ("step", "path", "size", "reason")
LOOK = Look(numbers=("size",), spare=("step",), paths=("path",), sentences=("reason",))
ROW = ["embed", "album/somebody/pictures/2021/summer/a.jpg", "1,234", "it is larger than all that is allowed here"]


def drawn(limit: int | None, row: list[str] = ROW, look: Look = LOOK) -> list[str]:
    return draw(COLUMNS, [row], look, limit)


def test_a_pipe_gets_a_row_a_line() -> None:
    assert drawn(None) == [
        "step   path                                        size  reason",
        "─" * 99,
        "embed  album/somebody/pictures/2021/summer/a.jpg  1,234  it is larger than all that is allowed here",
    ]


def test_sentences_are_wrapped_between_words() -> None:
    assert [line[57:] for line in drawn(90)[2:]] == ["it is larger than all that is", "allowed here"]


def test_spare_columns_go_and_paths_lose_their_beginning() -> None:
    lines = drawn(61)
    assert lines[0].split() == ["path", "size", "reason"]
    assert lines[2].startswith("…tures/2021/summer/a.jpg  1,234  it is")


def test_other_columns_lose_their_end_where_nothing_else_helps() -> None:
    assert drawn(30, look=Look())[2] == "embed  album/…  1,234  it is…"


def test_wide_characters_count_twice() -> None:
    lines = draw(("a", "b"), [["日本語", "x"], ["abc", "y"]], Look(), None)
    assert [cell_len(line) for line in lines[2:]] == [9, 9]


@given(
    rows=st.lists(st.lists(st.text(max_size=60).map(terminal), min_size=4, max_size=4), max_size=5),
    limit=st.integers(50, 120),
)
def test_no_line_is_longer_than_the_terminal(rows: list[list[str]], limit: int) -> None:
    assert max(cell_len(line) for line in draw(COLUMNS, rows, LOOK, limit)) <= limit


def test_empty_columns_are_left_out(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table("Things", ("name", "note"), [["a\x1b[31m", None], ["b\nc", ""]])
    assert capsys.readouterr().out == "Things\nname\n────\na\nb c\n\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (1234, "1,234"),
        (0.5, "0.50"),
        (12.34, "12.3"),
        (1234.5, "1,234"),
        ("a", "a"),
    ],
)
def test_cells(value: object, text: str) -> None:
    assert cell(value) == text
