"""A package that leaves a trace when it is imported, and then can't be."""

import os
from pathlib import Path

if "SHOAL_TEST_TRACE" in os.environ:
    Path(os.environ["SHOAL_TEST_TRACE"]).write_text("imported\n", encoding="utf-8")

import a_module_that_nobody_has  # noqa: F401
