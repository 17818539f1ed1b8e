"""Configurations of other image-clustering workflows as pipelines of shoal.

One table a workflow says what each old option is now; `import_config` and the page `docs/migrating.md` are made of it.
"""

from pathlib import Path

from shoal.errors import UsageError
from shoal.host import Host
from shoal.migrating import semantic_cluster, structural_clusters
from shoal.migrating.building import Imported, build, check_no_problems, commands, space_file
from shoal.migrating.reading import read_old
from shoal.migrating.table import MOOT, Row, Table
from shoal.pipeline.document import text_of
from shoal.text import terminal

__all__ = ["MOOT", "TABLES", "Imported", "Row", "Table", "commands", "import_config", "space_file", "write"]

TABLES: tuple[Table, ...] = (semantic_cluster.TABLE, structural_clusters.TABLE)
"""A table for each workflow, the first one where nobody says which."""


def import_config(
    path: Path, host: Host, *, workflow: str = TABLES[0].workflow, shoal_defaults: bool = False, ignore_unknown: bool = False
) -> Imported:
    """Return the pipeline that a configuration file of an old workflow describes.

    Args:
        path: the file.
        host: knows the stages.
        workflow: which one wrote it.
        shoal_defaults: leave what the file does not say to the recipe, instead of to the workflow's own defaults.
        ignore_unknown: tell of keys that mean nothing, and go on without them.

    Raises:
        UsageError: the file can't be read, or holds mistakes; the message has a line for each.
    """
    table = next((table for table in TABLES if table.workflow == workflow), None)
    if table is None:
        raise UsageError(f"no workflow is called {workflow!r}; known: {', '.join(table.workflow for table in TABLES)}")
    found = read_old(text_of(path, "configuration"), str(path), table)
    check_no_problems(found, ignore_unknown)
    made = build(table, found, host, terminal(path.name), shoal_defaults)
    ignored = tuple(f"{sentence} (left out)" for sentence in found.unknown)
    return Imported(made.pipeline, made.text, made.flags, made.variables, (*made.notes, *ignored), made.space)


def write(imported: Imported, path: Path, *, force: bool = False) -> None:
    """Write the pipeline file, and the space file beside it where there are values to try.

    Raises:
        UsageError: there is a file of that name already, or it can't be written.
    """
    files = {path: imported.text}
    if imported.space:
        files[Path(space_file(str(path)))] = imported.space
    for file in files:
        if not force and file.exists():
            raise _there(file)
    for file, text in files.items():
        _write(file, text, force)


def _there(path: Path) -> UsageError:
    return UsageError(f"{path} exists already; name another file with --to, or replace it with --force")


def _write(path: Path, text: str, force: bool) -> None:
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise _there(path) from error
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror or error}; name another file with --to") from error
