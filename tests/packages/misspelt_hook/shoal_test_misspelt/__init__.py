"""A package with a typing error in the name of a hook."""

from shoal import hookimpl
from shoal.contract import Stage


@hookimpl
def shoal_stage() -> tuple[type[Stage], ...]:
    """Lack the s."""
    return ()
