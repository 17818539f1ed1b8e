"""Runs a plan: lists and reads the files, maps what is not in the store, answers the tables, writes the record."""

from shoal.runner.options import RunOptions
from shoal.runner.progress import Progress, Silent
from shoal.runner.run import execute

__all__ = ["Progress", "RunOptions", "Silent", "execute"]
