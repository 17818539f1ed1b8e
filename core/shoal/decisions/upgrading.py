"""Brings a database of an older shoal up to date, where its answers did not say whose numbers of clusters they mean."""

from typing import TYPE_CHECKING

from shoal.decisions.model import COMPUTED, Surface, Version
from shoal.decisions.standing import base_name, base_of
from shoal.decisions.tables import row, value

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData

BASE = "base"
"""Column of answers, and fact of a surface: whose numbers its tasks show where they don't say so themselves."""


def upgrade(connection: "Connection", made: "MetaData") -> None:
    """Let answers say whose numbers of clusters they mean: those that stand now, as the older shoal took them.

    Its open tasks don't say so either, so their surface remembers it.

    Args:
        connection: in a transaction that nobody else is in.
        made: the tables, which are there.
    """
    from sqlalchemy import inspect

    answers, surfaces = made.tables["answers"], made.tables["surfaces"]
    if BASE in {column["name"] for column in inspect(connection).get_columns("answers")}:
        return
    connection.exec_driver_sql("ALTER TABLE answers ADD COLUMN base VARCHAR(64)")
    connection.execute(answers.update().values(base=COMPUTED))
    carried = _carried(connection, made)
    for run, base in carried.items():
        connection.execute(answers.update().where(answers.c.run == run).values(base=base))
    for found in connection.execute(surfaces.select()).mappings().all():
        surface = Surface.model_validate(value(dict(found)))
        told = surface.model_copy(update={"facts": {**surface.facts, BASE: carried.get(surface.run, COMPUTED)}})
        connection.execute(surfaces.update().where(surfaces.c.key == surface.key).values(row(told)))


def _carried(connection: "Connection", made: "MetaData") -> dict[str, str]:
    """Return the name of the base of each run whose base was carried."""
    table = made.tables["versions"]
    rows = connection.execute(table.select().order_by(table.c.number)).mappings().all()
    versions = [Version.model_validate(value(dict(found))) for found in rows]
    bases = {run: base_of(one for one in versions if one.run == run) for run in {one.run for one in versions}}
    return {run: base_name(base) for run, base in bases.items() if base is not None}
