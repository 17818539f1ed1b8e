"""Cases of the tables of old options: what a file says, and the place that it changes."""

import json
from operator import attrgetter
from typing import Any, NamedTuple

from shoal.migrating import Imported, Row, Table
from shoal.pipeline import Pipeline


class Case(NamedTuple):
    """An option: where it lies, what a file says, and the place that must have changed."""

    section: str
    option: str
    value: Any
    place: str
    becomes: Any
    beside: dict[str, Any] = {}


def titled(case: Case) -> str:
    return f"{case.section}: {case.option}"


def row_of(table: Table, case: Case) -> Row:
    return next(row for row in table.rows if (row.section, row.name) == (case.section, case.option))


def nested(table: Table, case: Case, value: Any) -> dict[str, Any]:
    """Return a file that says an option in its section, and what must stand beside it."""
    old: dict[str, Any] = json.loads(json.dumps(case.beside))
    section = old
    for part in case.section.split("."):
        section = section.setdefault(part, {})
    section[row_of(table, case).spelled] = value
    return old


def at(made: Imported, place: str) -> Any:
    """Return what lies at a place: an option, a setting or the stage of a step, or the flag of a command."""
    if place.partition(" ")[2]:
        command, _, flag = place.partition(" ")
        return [value for name, what, value in made.flags if (name, what) == (command, flag)]
    step, _, option = place.partition(".")
    found = made.pipeline.step(step)
    if not option:
        return found.stage.title()
    if option == "only":
        return found.only
    if option.startswith("run."):
        return getattr(found.settings, option.removeprefix("run."))
    return attrgetter(option)(found.stage)


def has(pipeline: Pipeline, place: str) -> bool:
    step, _, option = place.partition(".")
    if step not in pipeline.names:
        return False
    if not option or option == "only" or option.startswith("run."):
        return True
    try:
        attrgetter(option)(pipeline.step(step).stage)
    except AttributeError:
        return False
    return True
