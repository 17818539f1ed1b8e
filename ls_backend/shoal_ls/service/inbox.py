"""The durable inbox of the webhook: an event is on the disk before it is answered, and leaves when it is recorded.

Label Studio sends each event once and waits one second. So the only work that is done while it waits is one commit, which
all events that came meanwhile share; a power cut or a SIGKILL after it loses nothing.
"""

import os
import queue
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shoal.decisions import now
from shoal.errors import StoreError
from shoal_ls.service.events import Event

FILE = "inbox.db"
WAITING = 2_000
"""Deliveries that may wait for a commit; the next ones are refused, and polling finds what they said."""
TOGETHER = 500
"""Deliveries that share a commit."""
LOCK_SECONDS = 30

State = Literal["new", "recorded", "left"]
"""`left`: it says too little to be recorded; polling the server says the rest."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events(
  number INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, key TEXT NOT NULL, at TEXT NOT NULL,
  deleted INTEGER NOT NULL, action TEXT NOT NULL, payload TEXT NOT NULL, received TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'new', UNIQUE(project, key, at, deleted));
CREATE INDEX IF NOT EXISTS waiting ON events(number) WHERE state = 'new';
"""
_INSERT = "INSERT OR IGNORE INTO events(project, key, at, deleted, action, payload, received) VALUES(?, ?, ?, ?, ?, ?, ?)"


class InboxFull(StoreError):  # noqa: N818  (an outcome)
    """More deliveries wait for the disk than may."""


@dataclass(frozen=True)
class Kept:
    """An event in the inbox.

    Attributes:
        number: counts up, in the order in which events came.
        event: what was said.
        received: when it came, ISO 8601 in UTC.
    """

    number: int
    event: Event
    received: str


@dataclass
class _Delivery:
    events: Sequence[Event]
    answer: "Future[int]"


class Inbox:
    """Events on disk. Use it from any thread; `close` waits until everything that was put is written."""

    def __init__(self, path: Path) -> None:
        """Open or make the file and start the thread that writes."""
        self._path = path
        self._queue: queue.Queue[_Delivery | None] = queue.Queue(WAITING)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # who reviews what is nobody else's business
            with self._open() as connection:
                connection.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"the inbox {path} can't be opened ({error}); choose another --state folder") from error
        self._writer = threading.Thread(target=self._write, name="inbox", daemon=True)
        self._writer.start()

    def put(self, events: Sequence[Event]) -> "Future[int]":
        """Write events down; the result, how many were news, comes when they are on the disk.

        Raises:
            InboxFull: too many wait already.
        """
        delivery = _Delivery(events, Future())
        delivery.answer.set_running_or_notify_cancel()  # a request that goes away can't cancel what is being written
        try:
            self._queue.put_nowait(delivery)
        except queue.Full:
            raise InboxFull("too many events wait for the disk; `shoal review sync` will find what this one said") from None
        return delivery.answer

    def waiting(self, most: int) -> list[Kept]:
        """Return the oldest events that nobody has dealt with."""
        with self._open() as connection:
            found = connection.execute(
                "SELECT number, action, project, key, at, deleted, payload, received FROM events WHERE state = 'new' "
                "ORDER BY number LIMIT ?", (most,),
            ).fetchall()  # fmt: skip
        return [
            Kept(number, Event(action, project, key, at, bool(deleted), payload), received)
            for number, action, project, key, at, deleted, payload, received in found
        ]

    def settle(self, states: Mapping[int, State]) -> None:
        """Say what became of events; the payload of those that are dealt with is needed no more.

        A power cut may undo it: then they are dealt with again.
        """
        with self._open("NORMAL") as connection, _transaction(connection):
            connection.executemany(
                "UPDATE events SET state = ?1, payload = CASE ?1 WHEN 'new' THEN payload ELSE '' END WHERE number = ?2",
                [(state, number) for number, state in states.items()],
            )

    def counts(self) -> dict[State, int]:
        """Return how many events are in each state."""
        with self._open() as connection:
            found: dict[State, int] = dict(connection.execute("SELECT state, COUNT(*) FROM events GROUP BY state"))
        return {"new": found.get("new", 0), "recorded": found.get("recorded", 0), "left": found.get("left", 0)}

    def close(self) -> None:
        """Write what waits and stop."""
        self._queue.put(None)
        self._writer.join()

    def _write(self) -> None:
        with self._open() as connection:
            while (first := self._queue.get()) is not None:
                deliveries = [first, *self._more()]
                stop = deliveries[-1] is None
                _commit(connection, [delivery for delivery in deliveries if delivery is not None])
                if stop:
                    return

    def _more(self) -> Iterator[_Delivery | None]:
        """Yield what came while the last commit went on."""
        for _ in range(TOGETHER):
            try:
                delivery = self._queue.get_nowait()
            except queue.Empty:
                return
            yield delivery
            if delivery is None:
                return

    @contextmanager
    def _open(self, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> Iterator[sqlite3.Connection]:
        """Open the file: with FULL a commit is on the disk when it returns."""
        with closing(sqlite3.connect(self._path, timeout=LOCK_SECONDS, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={synchronous}")
            yield connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _commit(connection: sqlite3.Connection, deliveries: Sequence[_Delivery]) -> None:
    try:
        with _transaction(connection):
            news = [_insert(connection, delivery.events) for delivery in deliveries]
    except sqlite3.Error as error:
        for delivery in deliveries:
            delivery.answer.set_exception(StoreError(f"the inbox can't be written: {error}"))
        return
    for delivery, number in zip(deliveries, news, strict=True):
        delivery.answer.set_result(number)


def _insert(connection: sqlite3.Connection, events: Iterable[Event]) -> int:
    received = now()
    return sum(
        connection.execute(
            _INSERT, (event.project, event.key, event.at, event.deleted, event.action, event.payload, received)
        ).rowcount
        for event in events
    )
