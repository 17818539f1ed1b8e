"""The database of what changes by hand (surfaces, answers, versions): SQLite beside the runs, or PostgreSQL by URL."""

import os
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from shoal.decisions.model import Answer, Considered, Surface, Version, now
from shoal.decisions.standing import base_name, base_of, current
from shoal.decisions.tables import metadata, row, value
from shoal.decisions.upgrading import upgrade
from shoal.errors import StoreError
from shoal.store import Store

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

FILE = "decisions.db"
VARIABLE = "SHOAL_DATABASE"
"""Environment variable with the URL of another database, such as postgresql+psycopg://host/shoal."""

SQLITE_WAIT_SECONDS = 30
LOCK = 0x73686F616C
"""Number of the lock that is held while tables are made: `shoal` in ASCII."""


class Decisions:
    """What people decided about the runs of a store.

    Every method is one transaction, and safe to call from several processes at once.
    """

    def __init__(self, url: "str | URL") -> None:
        """Take a database by its SQLAlchemy URL; tables are made where they are missing."""
        self._url = url

    @classmethod
    def of(cls, store: Store) -> "Decisions":
        """Return the database of a store: the one that SHOAL_DATABASE names, else a file in the store.

        Raises:
            StoreError: the store is not on a local disk and no database is named.
        """
        url = os.environ.get(VARIABLE)
        if url:
            return cls(url)
        if store.root.local is None:
            raise StoreError(
                f"{store.root.uri} is no local folder and can't hold a database of decisions; "
                f"name one: {VARIABLE}=postgresql+psycopg://host/shoal"
            )
        from sqlalchemy import URL

        return cls(URL.create("sqlite", database=str(store.root.local / FILE)))  # a path may hold what URLs read otherwise

    @classmethod
    def found(cls, store: Store) -> "Decisions | None":
        """Return the database of a store where there is one already, else None: looking makes no file."""
        if os.environ.get(VARIABLE):
            return cls.of(store)
        local = store.root.local
        return cls.of(store) if local is not None and (local / FILE).exists() else None

    def add_surface(self, surface: Surface) -> None:
        """Write a surface down; one of the same key is replaced."""
        tables = self._tables
        with self._begin() as connection:
            connection.execute(tables["surfaces"].delete().where(tables["surfaces"].c.key == surface.key))
            connection.execute(tables["surfaces"].insert().values(**row(surface)))

    def surfaces(self, run: str | None = None) -> list[Surface]:
        """Return the surfaces of a run, or all."""
        return [Surface.model_validate(value(found)) for found in self._select("surfaces", run, ("key",))]

    def record(self, answers: Iterable[Answer]) -> int:
        """Add revisions of answers and return how many were news: those that are known already are not written twice.

        An answer that does not say whose numbers of clusters it means has those that stand now.
        """
        found = list(answers)
        today = {run: self._base(run) for run in {answer.run for answer in found if not answer.base}}
        said = [answer if answer.base else answer.model_copy(update={"base": today[answer.run]}) for answer in found]
        return self._add("answers", [row(answer) for answer in {_name(answer): answer for answer in said}.values()])

    def _base(self, run: str) -> str:
        return base_name(base_of(self.versions(run)))

    def _add(self, name: str, rows: list[dict[str, Any]]) -> int:
        """Add the rows that are not there yet and return how many these were."""
        from sqlalchemy.dialects import postgresql, sqlite

        table = self._tables[name]
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        added = insert(table).on_conflict_do_nothing().returning(table.c.run)
        with self._begin() as connection:
            return len(connection.execute(added, rows).all()) if rows else 0

    def revisions(self, run: str) -> list[Answer]:
        """Return every revision of every answer about a run, in the order in which they were made."""
        rows = self._select("answers", run, ("at", "surface", "key", "deleted"))
        return [Answer.model_validate(value(found)) for found in rows]

    def answers(self, run: str) -> list[Answer]:
        """Return the newest revision of each answer about a run, those that were taken back left out, by time."""
        newest: dict[tuple[str, str], Answer] = {}
        for answer in self.revisions(run):
            newest[answer.surface, answer.key] = answer
        return sorted((answer for answer in newest.values() if not answer.deleted), key=_name)

    def add_version(self, version: Version) -> bool:
        """Write a version down; False where the run has one of that number already: somebody else was quicker."""
        from sqlalchemy.exc import IntegrityError

        table = self._tables["versions"]
        try:
            with self._begin() as connection:
                connection.execute(table.insert().values(**row(version)))
        except IntegrityError:
            return False
        return True

    def set_undone(self, run: str, number: int, undone: bool, by: str = "") -> None:
        """Mark a version as undone by somebody, or as done again."""
        table = self._tables["versions"]
        values = {"undone": undone, "undone_by": by if undone else "", "undone_at": now() if undone else ""}
        with self._begin() as connection:
            connection.execute(table.update().where(table.c.run == run, table.c.number == number).values(values))

    def versions(self, run: str) -> list[Version]:
        """Return every version of a run, the oldest first."""
        return [Version.model_validate(value(found)) for found in self._select("versions", run, ("number",))]

    def current(self, run: str) -> Version | None:
        """Return the last version of a run that is not undone; None: what was computed stands."""
        return current(self.versions(run))

    def consider(self, considered: Considered) -> None:
        """Write down answers that were applied and changed nothing."""
        self._add("considered", [row(considered)])

    def considered(self, run: str) -> list[Considered]:
        """Return what was applied to a run and changed nothing, the oldest first."""
        return [Considered.model_validate(value(found)) for found in self._select("considered", run, ("made", "version"))]

    def _select(self, name: str, run: str | None, order: Sequence[str]) -> list[dict[str, Any]]:
        table = self._tables[name]
        chosen = table.select().order_by(*(table.c[column] for column in order))
        with self._begin() as connection:
            found = connection.execute(chosen if run is None else chosen.where(table.c.run == run))
            return [dict(row) for row in found.mappings()]

    @contextmanager
    def _begin(self) -> "Iterator[Connection]":
        from sqlalchemy.exc import DBAPIError

        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            if type(error).__name__ == "IntegrityError":
                raise
            raise StoreError(
                f"the database of decisions {self.name} can't be used: {' '.join(str(error.orig).split())}"
            ) from error

    @property
    def name(self) -> str:
        """The URL without its password."""
        from sqlalchemy import make_url

        return make_url(self._url).set(query={}).render_as_string(hide_password=True)  # a query may hold one, too

    @cached_property
    def _engine(self) -> "Engine":
        from sqlalchemy import create_engine, event
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError

        sqlite = str(self._url).startswith("sqlite")
        try:
            engine = create_engine(self._url, connect_args={"timeout": SQLITE_WAIT_SECONDS} if sqlite else {})
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, ValueError) as error:
            raise StoreError(f"{VARIABLE} names a database that can't be opened: {error}") from error
        if sqlite:
            event.listen(engine, "connect", _settle_sqlite)
            event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        weakref.finalize(self, engine.dispose)  # connections are closed with the object that needs them
        return engine

    @cached_property
    def _tables(self) -> dict[str, Any]:
        made = metadata()
        with self._begin() as connection:
            if connection.dialect.name == "postgresql":  # two who make the same table at once would both fail
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
            made.create_all(connection)
            upgrade(connection, made)
        return dict(made.tables)


def _settle_sqlite(connection: Any, _: Any) -> None:
    """Make commits survive a power cut, let readers read beside a writer, and leave `BEGIN` to SQLAlchemy's event."""
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _name(answer: Answer) -> tuple[str, str, str, bool]:
    return answer.surface, answer.key, answer.at, answer.deleted
