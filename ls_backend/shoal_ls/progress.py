"""What hears how far a review's opening is: the command line's bar, or nobody."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Hears how far it is; `shoal.cli.progress.Bar` draws it."""

    def start(self, step: str, total: int) -> None:
        """Begin a line."""

    def advance(self, step: str, rows: int) -> None:
        """Move it on."""

    def finish(self, step: str, note: str) -> None:
        """End it."""

    def tell(self, message: str) -> None:
        """Say something in between."""


@contextmanager
def counted(progress: Progress, step: str, total: int) -> Iterator[Callable[[int], None]]:
    """Begin a line, give what moves it on, and end it."""
    progress.start(step, total)
    yield lambda count: progress.advance(step, count)
    progress.finish(step, "done")
