"""What the extra `label-studio` installs, and the sentence where it is missing."""

from importlib.util import find_spec

from shoal.errors import UsageError


def need(*modules: str) -> None:
    """Make sure that modules of the extra are installed; none is imported.

    Raises:
        UsageError: one is not.
    """
    missing = next((module for module in modules if find_spec(module) is None), None)
    if missing is not None:
        raise UsageError(f"{missing} is not installed; give `pip install 'shoal[label-studio]'`")
