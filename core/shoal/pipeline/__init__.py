"""Pipelines: files, overrides and recipes, and the plan that joins their columns up."""

from shoal.pipeline.document import load, override, parse
from shoal.pipeline.model import Pipeline, RunSettings, Step

__all__ = ["Pipeline", "RunSettings", "Step", "load", "override", "parse"]
