"""Blocks of the reference of pipeline files."""

from shoal.docs.markdown import column_type, doc, options, table
from shoal.pipeline import overrides as overrides_module
from shoal.pipeline.model import Head, RunSettings
from shoal.pipeline.plan import CONTENT_COLUMNS, IMAGE_COLUMNS


def keys() -> str:
    """Return the keys above the steps."""
    return options(Head)


def run_settings() -> str:
    """Return the keys of `run:`."""
    return options(RunSettings)


def overrides() -> str:
    """Return what `--set` takes."""
    return "\n".join(line for line in doc(overrides_module).splitlines() if line.startswith("|"))


def index_columns() -> str:
    """Return the columns that the index gives of every image."""
    rows = [
        (f"`{field.name}`", column_type(field.type), "yes" if field.name in CONTENT_COLUMNS.names else "no")
        for field in IMAGE_COLUMNS
    ]
    return table(("column", "type", "a map stage may read it"), rows)
