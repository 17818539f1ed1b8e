"""Turns what people decided into versions of a run's clusters and labels, goes back, and carries them to newer runs."""

from shoal.reviewing.carrying import Lost
from shoal.reviewing.versions import Made, make_version, redo, undo, user

__all__ = ["Lost", "Made", "make_version", "redo", "undo", "user"]
