"""Visualisers: the parts of a run's report."""
