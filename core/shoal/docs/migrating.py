"""The tables of `docs/migrating.md`: where each option of an old workflow lies now."""

from itertools import groupby

from shoal.docs.markdown import code, table
from shoal.migrating import Row, Table


def text(workflow: Table) -> str:
    """Return a chapter a section of the workflow's options."""
    parts = []
    for section, rows in groupby(workflow.rows, key=lambda row: row.section.partition(".")[0]):
        names = ", ".join(f"`{key}:`" for key in workflow.sections[section])
        head = f"### {section.upper() if section in ('vlm', 'yolo') else section.capitalize()}"
        cells = table(("option", "as a key", "default then", "in shoal", "how"), (_cells(row) for row in rows))
        parts.append(f"{head}\n\nSection {names}, or no section.\n\n{cells}")
    return "\n\n".join(parts)


def _cells(row: Row) -> tuple[str, ...]:
    part = row.section.partition(".")[2]
    name = (
        f"{part.upper() if part.endswith('scan') else part} {row.name}"
        if part and part not in row.name.lower()
        else row.name
    )
    keys = ", ".join(f"`{key}`" for key in dict.fromkeys((row.spelled, *row.keys)))
    default = row.shown or ("" if row.default is None else code(row.default))
    if row.moot:
        why = row.note.removeprefix("no effect, because ")
        return name, keys, default, "not needed", f"{why[:1].upper()}{why[1:]}."
    return name, keys, default if row.listed else "", ", ".join(_home(home) for home in row.home), row.note


def _home(home: str) -> str:
    return f"variable `{home[1:]}`" if home.startswith("$") else f"`{home}`"
