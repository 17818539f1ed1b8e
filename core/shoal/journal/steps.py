"""The moments of an operation, named, so that a test can end the process at any of them."""

from collections.abc import Callable

on_step: Callable[[str], None] | None = None
"""Called with the name of each moment as it is reached, from whichever thread reaches it."""


def step(name: str) -> None:
    """Report that the moment `name` is reached."""
    if on_step is not None:
        on_step(name)
