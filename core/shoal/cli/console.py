"""What the terminal shows. Data goes to standard output, everything else to standard error."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from shoal.text import terminal

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


PIPE_WIDTH = 140
"""Columns of a table that goes to a file or a pipe, which have no width of their own."""


def complain(message: str) -> None:
    """Print an error, control characters taken out."""
    for line in message.splitlines() or [""]:
        print(f"shoal: {terminal(line)}", file=sys.stderr)


def say(message: str = "") -> None:
    """Print a line for people to standard error."""
    print(terminal(message), file=sys.stderr)


def out(message: str) -> None:
    """Print a line of data to standard output."""
    print(terminal(message))


def out_json(value: Any) -> None:
    """Print a value as JSON to standard output."""
    print(json.dumps(value, indent=1, ensure_ascii=True, default=str))


def console() -> "Console":
    """Return rich's console on standard output."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[str] = ()) -> None:
    """Print a table; `numbers` names the columns that are set to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        drawn.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*[Text(terminal(_cell(value))) for value in row])
    console().print(drawn)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def arrow(title: str, data: "pa.Table", numbers: Sequence[str] = (), most: int | None = None) -> None:
    """Print an Arrow table, at most so many rows, and say how many were left out."""
    shown = data if most is None else data.slice(0, most)
    table(title, data.column_names, [list(row.values()) for row in shown.to_pylist()], numbers)
    if shown.num_rows < data.num_rows:
        say(f"... and {data.num_rows - shown.num_rows:,} more; --json prints all")


class Bar:
    """Draws a run's progress: a line a step with its rate and the time left; plain lines where there is no terminal."""

    def __init__(self, quiet: bool = False) -> None:
        """Draw nothing yet."""
        self.quiet = quiet
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}

    def start(self, step: str, total: int) -> None:
        """Begin a line."""
        if self.quiet:
            return
        if not sys.stderr.isatty():
            say(f"{step}: {total:,} to do")
            return
        if self._bars is None:
            self._bars = _bars()
            self._bars.start()
        self._tasks[step] = self._bars.add_task(terminal(step), total=total)

    def advance(self, step: str, rows: int) -> None:
        """Move a line on."""
        if self._bars is not None:
            self._bars.advance(self._tasks[step], rows)

    def finish(self, step: str, note: str) -> None:
        """End a line."""
        if self.quiet:
            return
        if self._bars is None:
            say(f"{step}: {note}")
            return
        task = self._tasks[step]
        self._bars.update(task, completed=self._bars.tasks[task].total, description=f"{terminal(step)} ({note})")

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bars is not None:
            self._bars.stop()


def _bars() -> "Bars":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from shoal.cli.rate import RateColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
