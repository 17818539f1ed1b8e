"""Runs as jobs of a Ray cluster: what travels (a wheel, the recipe, plugins), where it is sent, and how it is followed."""

from shoal.submitting.cluster import Cluster, UnansweredError
from shoal.submitting.following import Ended, follow
from shoal.submitting.job import Submission, submit

__all__ = ["Cluster", "Ended", "Submission", "UnansweredError", "follow", "submit"]
