"""The reference of hooks, from the hookspecs."""

import inspect
from types import FunctionType

from shoal import hooks
from shoal.docs.markdown import doc


def text() -> str:
    """Return a section a hook: signature and docstring, which has an example."""
    found = [
        function for name, function in vars(hooks).items() if name.startswith("shoal_") and inspect.isfunction(function)
    ]
    return "\n\n".join(f"## {function.__name__}\n\n`{_signature(function)}`\n\n{doc(function)}" for function in found)


def _signature(function: object) -> str:
    words = str(inspect.signature(function)) if callable(function) else ""
    return f"{getattr(function, '__name__', '')}{words}".replace("'", "").replace('"', "")


def _line(function: FunctionType) -> int:
    return function.__code__.co_firstlineno
