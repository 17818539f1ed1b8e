"""shoal turns heaps of images into clean, named, reviewed, organised sets.

`shoal.run(pipeline, images)` runs a pipeline; plugin authors take `shoal.hookimpl` and the kinds of `shoal.kinds`.
"""

from typing import TYPE_CHECKING

from shoal.hooks import hookimpl

if TYPE_CHECKING:
    from shoal.api import open, run
    from shoal.catalogue import Run
    from shoal.host import Host
    from shoal.pipeline import Pipeline
    from shoal.runner import RunOptions

__all__ = ["Host", "Pipeline", "Run", "RunOptions", "__version__", "hookimpl", "open", "run"]
__version__ = "0.1.0"

_LAZY = {
    "Host": "shoal.host",
    "Pipeline": "shoal.pipeline",
    "Run": "shoal.catalogue",
    "RunOptions": "shoal.runner",
    "open": "shoal.api",
    "run": "shoal.api",
}


def __getattr__(name: str) -> object:
    """Import the API when it is first asked for, so that `shoal --help` and plugins start fast."""
    import importlib

    if name not in _LAZY:
        raise AttributeError(f"module 'shoal' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
