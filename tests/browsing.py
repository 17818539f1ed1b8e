"""Waiting for pages of a browser."""

from typing import Any

REST = """time => new Promise(
  done => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), time)
)"""


def rest(page: Any, milliseconds: float) -> None:
    """Wait by the page's own clock: timers that were set before have run, and what they asked for is drawn.

    The clock of the test says nothing where others have the cores: the page may have had none of that time.
    """
    page.evaluate(REST, milliseconds)
