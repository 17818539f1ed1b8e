"""Tables that fit the terminal: columns are left out or shortened before a word is cut."""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from shoal.cli.console import out, say
from shoal.text import terminal

if TYPE_CHECKING:
    import pyarrow as pa

GAP = 2
LEAST_TEXT, LEAST_PATH, LEAST = 28, 24, 6
"""Cells that a column of sentences, of paths, or of anything else keeps when the terminal is narrow."""


@dataclass(frozen=True)
class Look:
    """How the columns of a table are drawn; each field holds names of columns.

    Attributes:
        numbers: set to the right.
        spare: left out where there is no room, the first one first.
        paths: shortened in front, as their end tells more.
        sentences: wrapped between words.
    """

    numbers: Sequence[str] = ()
    spare: Sequence[str] = ()
    paths: Sequence[str] = ()
    sentences: Sequence[str] = ()

    def least(self, column: str, natural: int) -> int:
        """Return how narrow a column may become."""
        floor = LEAST_TEXT if column in self.sentences else LEAST_PATH if column in self.paths else natural
        return min(natural, floor)


PLAIN = Look()


def width() -> int | None:
    """Return the columns of the terminal; None for a pipe or a file, where a row is a line however long it is."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        return None
    return shutil.get_terminal_size().columns


def arrow(title: str, data: "pa.Table", look: Look = PLAIN, most: int | None = None) -> None:
    """Print an Arrow table, at most so many rows, and say how many were left out."""
    shown = data if most is None else data.slice(0, most)
    table(title, data.column_names, [list(row.values()) for row in shown.to_pylist()], look)
    if shown.num_rows < data.num_rows:
        say(f"... and {data.num_rows - shown.num_rows:,} more; --json prints all")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], look: Look = PLAIN) -> None:
    """Print a table without the columns that are empty in every row."""
    cells = [[terminal(cell(value)) for value in row] for row in rows]
    filled = [place for place in range(len(columns)) if not cells or any(row[place] for row in cells)]
    names, cells = [columns[place] for place in filled], [[row[place] for place in filled] for row in cells]
    out(title)
    for line in draw(names, cells, look, width()):
        print(line)
    out()


def draw(columns: Sequence[str], cells: Sequence[Sequence[str]], look: Look, limit: int | None) -> list[str]:
    """Return the lines of a table.

    Args:
        columns: heads.
        cells: rows of texts without control characters.
        look: how each column is drawn.
        limit: cells of a line; None for no limit.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    fit = _fit(columns, cells, look, limit)
    drawn = Table(box=_box(), show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for column, size in fit.items():
        sentence = column in look.sentences
        side = "right" if column in look.numbers else "left"
        drawn.add_column(Text(column), justify=side, width=size, no_wrap=not sentence, overflow="fold")  # type: ignore[arg-type]
    for row in cells:
        drawn.add_row(*[Text(_short(row[columns.index(column)], column, size, look)) for column, size in fit.items()])
    page = StringIO()
    Console(file=page, width=sum(fit.values()) + GAP * len(fit), color_system=None, legacy_windows=False).print(drawn)
    return [line.rstrip() for line in page.getvalue().splitlines()]


def _fit(columns: Sequence[str], cells: Sequence[Sequence[str]], look: Look, limit: int | None) -> dict[str, int]:
    """Return the columns that are drawn, each with its width."""
    from rich.cells import cell_len

    natural = {
        column: max([cell_len(column), *(cell_len(row[place]) for row in cells)]) for place, column in enumerate(columns)
    }
    if limit is None:
        return natural
    kept = dict(natural)
    for column in look.spare:
        if _total(look.least(name, size) for name, size in kept.items()) > limit:
            kept.pop(column, None)
    for column in [*look.sentences, *look.paths]:
        if column in kept:
            kept[column] -= min(max(_total(kept.values()) - limit, 0), kept[column] - look.least(column, kept[column]))
    while _total(kept.values()) > limit and max(kept.values()) > LEAST:  # nothing else helps
        kept[max(kept, key=lambda column: kept[column])] -= 1
    return kept


def _total(sizes: Iterable[int]) -> int:
    found = list(sizes)
    return sum(found) + GAP * (len(found) - 1)


def _short(text: str, column: str, size: int, look: Look) -> str:
    """Return a text that fits: the beginning of a path is left out, else the end; sentences are wrapped, not cut."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= size or column in look.sentences:
        return text
    mark = "…" if _unicode() else "~"
    if column not in look.paths:
        return set_cell_size(text, size - 1).rstrip() + mark
    while cell_len(text) >= size:
        text = text[1:]
    return mark + text


def _unicode() -> bool:
    return (sys.stdout.encoding or "utf-8").lower().startswith("utf")


def _box() -> Any:
    from rich.box import Box

    rule = "─" if _unicode() else "-"
    return Box(f"    \n    \n {rule}{rule} \n    \n    \n    \n    \n    \n")


def cell(value: Any) -> str:
    """Return a value as a cell of a table says it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
