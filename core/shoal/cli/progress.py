"""How far a run is: a line a step with its rate and the time left; plain lines where there is no terminal."""

import sys
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from shoal.cli.console import say
from shoal.text import terminal

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

TELL_EVERY = 30.0
"""Seconds between two lines of a step where there is no terminal to draw on."""


@dataclass
class _Step:
    """A step under way."""

    total: int
    began: float = field(default_factory=monotonic)
    told: float = field(default_factory=monotonic)
    done: int = 0
    task: "TaskID | None" = None

    def line(self) -> str:
        """Return how far it is, in words."""
        rate = self.done / max(monotonic() - self.began, 1e-9)
        left = (self.total - self.done) / max(rate, 1e-9)
        return f"{self.done:,} of {self.total:,}, {rate:,.0f}/s, {clock(left)} left"


def clock(seconds: float) -> str:
    """Return a time span as people read it: `0.3 s`, `45 s`, `3:20 min`, `2:05 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d} h"


class Bar:
    """Draws a run's progress to standard error.

    Args:
        quiet: draw nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        """Draw nothing yet."""
        self.quiet = quiet
        self._bars: Bars | None = None
        self._steps: dict[str, _Step] = {}

    def start(self, step: str, total: int) -> None:
        """Begin a line."""
        if self.quiet:
            return
        begun = self._steps[step] = _Step(total)
        if not sys.stderr.isatty():
            say(f"{step}: {total:,} to do")
            return
        if self._bars is None:
            self._bars = _bars()
            self._bars.start()
        begun.task = self._bars.add_task(terminal(step), total=total)

    def advance(self, step: str, rows: int) -> None:
        """Move a line on."""
        begun = self._steps.get(step)
        if begun is None:
            return
        begun.done += rows
        if self._bars is not None and begun.task is not None:
            self._bars.advance(begun.task, rows)
        elif monotonic() - begun.told >= TELL_EVERY:
            begun.told = monotonic()
            say(f"{step}: {begun.line()}")

    def finish(self, step: str, note: str) -> None:
        """End a line."""
        begun = self._steps.pop(step, None)
        if begun is None:
            return
        if self._bars is None or begun.task is None:
            say(f"{step}: {note}")
            return
        self._bars.update(begun.task, completed=begun.total, description=f"{terminal(step)} ({note})")

    def tell(self, message: str) -> None:
        """Print a line above the progress."""
        if self.quiet:
            return
        if self._bars is None:
            say(message)
        else:
            from rich.text import Text

            self._bars.console.print(Text(terminal(message)), soft_wrap=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bars is not None:
            self._bars.stop()
            say()


def _bars() -> "Bars":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
    from rich.progress import TimeRemainingColumn as Left
    from rich.table import Column
    from rich.text import Text

    class Rate(ProgressColumn):
        """Rows a second."""

        def render(self, task: Task) -> Text:
            """Return the rate, or nothing before there is one."""
            speed = task.finished_speed or task.speed or (task.completed / task.elapsed if task.elapsed else 0)
            return Text(f"{speed:,.0f}/s" if speed else "", style="cyan")

    return Progress(
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        Rate(),
        Left(compact=True, elapsed_when_finished=True),
        console=Console(stderr=True),
        expand=True,
    )
