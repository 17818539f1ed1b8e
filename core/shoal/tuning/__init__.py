"""Tuning: many candidates of one pipeline over features that are computed once, scored without labels."""

from shoal.tuning.results import from_trial
from shoal.tuning.settings import Settings, Watcher
from shoal.tuning.tune import Tuning, tune

__all__ = ["Settings", "Tuning", "Watcher", "from_trial", "tune"]
