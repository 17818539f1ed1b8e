"""shoal turns heaps of images into clean, named, reviewed, organised sets."""

from shoal.hooks import hookimpl

__all__ = ["__version__", "hookimpl"]
__version__ = "0.1.0"
