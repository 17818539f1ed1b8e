"""The report of a run: one page that opens from disk, offline, and runs no script but its own.

`write` puts it together from a `Report`. `json_literal`, `shown` and `environment` are for authors of visualisers: what
they write with them can't break out of the page.
"""

from shoal.report.model import Figure, Fragment, Judgement, Report
from shoal.report.page import render, render_alone, write
from shoal.report.safe import environment, json_literal, shown

__all__ = [
    "Figure", "Fragment", "Judgement", "Report", "environment", "json_literal", "render", "render_alone", "shown", "write",
]  # fmt: skip
