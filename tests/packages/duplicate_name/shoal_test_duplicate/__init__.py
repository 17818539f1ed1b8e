"""A package whose stage has the kind and name of the good package's."""

from shoal_test_good import Brightness as Theirs

from shoal import hookimpl
from shoal.contract import Stage


class Brightness(Theirs):
    """Another stage that calls itself embed.brightness."""


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Add the stage."""
    return (Brightness,)
