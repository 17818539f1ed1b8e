"""The journal itself: an SQLite file below the root; a row is on disk before the file that it speaks of is touched."""

import contextlib
import errno
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any, Self, cast

from shoal.errors import JournalError
from shoal.journal.records import Mode, Operation, Row
from shoal.names import JOURNAL_FOLDER

FORMAT = 1
FILE = "journal.sqlite"
_TABLES = """
CREATE TABLE operations (number INTEGER PRIMARY KEY, mode TEXT NOT NULL, state TEXT NOT NULL, digest TEXT NOT NULL,
  fallback INTEGER NOT NULL, started REAL NOT NULL, finished REAL);
CREATE TABLE files (operation INTEGER NOT NULL, seq INTEGER NOT NULL, id TEXT NOT NULL, sha256 TEXT NOT NULL,
  source TEXT NOT NULL, target TEXT NOT NULL, action TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  permissions INTEGER NOT NULL, state TEXT NOT NULL, made INTEGER NOT NULL, reason TEXT,
  PRIMARY KEY (operation, seq)) WITHOUT ROWID;
CREATE TABLE folders (operation INTEGER NOT NULL, path TEXT NOT NULL, PRIMARY KEY (operation, path)) WITHOUT ROWID;
"""
_SELECT = (
    "SELECT seq, id, sha256, source, target, action, size, mtime_ns, permissions, state, made, reason "
    "FROM files WHERE operation=? "
)
_UPDATE = (
    "UPDATE files SET action=?, size=?, mtime_ns=?, permissions=?, state=?, made=?, reason=? WHERE operation=? AND seq=?"
)
_INSERT = "INSERT INTO files VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
_values = attrgetter(
    "seq", "id", "sha256", "source", "target", "action", "size", "mtime_ns", "permissions", "state", "made", "reason"
)
_COUNT = "SELECT count(*) FROM files WHERE operation=? "
_OF_STATES = "AND state IN (SELECT value FROM json_each(?)) "


class Journal:
    """An open journal. Used by one thread of one process, under the lock of `shoal.journal.lock`.

    `synchronous=FULL` in WAL mode: a transaction is on disk when `write` ends. The exclusive locking mode needs no shared
    memory, so it also works on network file systems.
    """

    def __init__(self, root: Path, *, create: bool) -> None:
        """Open the journal of `root`.

        Raises:
            JournalError: there is none and `create` is false, or it is of another format, damaged or not writable.
        """
        self.root = root
        path = root / JOURNAL_FOLDER / FILE
        if not create and not path.exists():
            raise JournalError(f"{root} has no journal: shoal organised nothing there; name the folder given with --to")
        with _explained(path):
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            try:
                self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                self._check_format(path)
            except BaseException:
                self._db.close()
                raise

    def _check_format(self, path: Path) -> None:
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found == 0:
            self._db.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version={FORMAT}; COMMIT;")
            fsync_folder(path.parent)
            fsync_folder(path.parent.parent)
        elif found != FORMAT:
            raise JournalError(f"{path} has format {found}, this shoal reads {FORMAT}; use the shoal version that wrote it")

    def __enter__(self) -> Self:
        """Return the journal."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._db.close()

    @contextlib.contextmanager
    def write(self) -> Iterator[None]:
        """Make everything in the block one transaction that is on disk when the block ends."""
        with _explained(self.root):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def begin(self, mode: Mode, digest: str, fallback: bool, rows: list[Row]) -> Operation:
        """Write a new operation with all its rows; call within `write`."""
        now = time.time()
        number = self._db.execute("SELECT coalesce(max(number), 0) + 1 FROM operations").fetchone()[0]
        self._db.execute(
            "INSERT INTO operations VALUES (?,?,?,?,?,?,NULL)", (number, mode, "running", digest, fallback, now)
        )
        self._db.executemany(_INSERT, ((number, *_values(row)) for row in rows))
        return Operation(number, mode, "running", digest, fallback, now, len(rows))

    def set_state(self, number: int, state: str) -> None:
        """Set the state of an operation; call within `write`."""
        finished = time.time() if state in ("done", "undone") else None
        self._db.execute("UPDATE operations SET state=?, finished=? WHERE number=?", (state, finished, number))

    def update(self, number: int, rows: Iterable[Row]) -> None:
        """Write what may change of rows; call within `write`."""
        self._db.executemany(
            _UPDATE,
            ((r.action, r.size, r.mtime_ns, r.permissions, r.state, r.made, r.reason, number, r.seq) for r in rows),
        )

    def set_states(self, number: int, before: str, after: str) -> None:
        """Set all rows of an operation from one state to another; call within `write`."""
        self._db.execute("UPDATE files SET state=? WHERE operation=? AND state=?", (after, number, before))

    def add_folders(self, number: int, folders: Iterable[str]) -> None:
        """Write down folders that are about to be made; call within `write`."""
        self._db.executemany("INSERT OR IGNORE INTO folders VALUES (?,?)", ((number, folder) for folder in folders))

    def earlier(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Return source and id to target and hash of every file that is organised and not undone, the latest operation's."""
        query = "SELECT source, id, target, sha256 FROM files WHERE state='done' ORDER BY operation"
        return {(source, key): (target, sha256) for source, key, target, sha256 in self._read(query)}

    def folders(self, number: int) -> list[str]:
        """Return the folders that an operation made, deepest first."""
        found = [row[0] for row in self._read("SELECT path FROM folders WHERE operation=?", number)]
        return sorted(found, key=lambda path: (-path.count("/"), path))

    def operations(self) -> list[Operation]:
        """Return all operations, the oldest first."""
        found = self._read(
            "SELECT number, mode, state, digest, fallback, started, (SELECT count(*) FROM files WHERE operation=number) "
            "FROM operations ORDER BY number"
        )
        return [Operation(row[0], cast(Mode, row[1]), row[2], row[3], bool(row[4]), row[5], row[6]) for row in found]

    def rows(self, number: int) -> list[Row]:
        """Return all rows of an operation in the plan's order."""
        return [_row(values) for values in self._read(_SELECT + "ORDER BY seq", number)]

    def batch(self, number: int, states: tuple[str, ...], count: int, *, after: int = -1) -> list[Row]:
        """Return the first `count` rows behind `after` that are in one of `states`, in the plan's order."""
        query = _SELECT + _OF_STATES + "AND seq>? ORDER BY seq LIMIT ?"
        return [_row(values) for values in self._read(query, number, json.dumps(states), after, count)]

    def batch_back(self, number: int, states: tuple[str, ...], count: int, *, before: int) -> list[Row]:
        """Return the last `count` rows in front of `before` that are in one of `states`, the last first."""
        query = _SELECT + _OF_STATES + "AND seq<? ORDER BY seq DESC LIMIT ?"
        return [_row(values) for values in self._read(query, number, json.dumps(states), before, count)]

    def effects(self, number: int) -> int:
        """Return how many files an operation really touched."""
        return int(self._read(_COUNT + "AND state='done' AND action<>'none'", number)[0][0])

    def count(self, number: int, states: tuple[str, ...]) -> int:
        """Return how many rows of an operation are in one of `states`."""
        return int(self._read(_COUNT + _OF_STATES, number, json.dumps(states))[0][0])

    def _read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with _explained(self.root):
            return self._db.execute(query, values).fetchall()


def _row(values: tuple[Any, ...]) -> Row:
    seq, key, sha256, source, target, action, size, mtime_ns, permissions, state, made, reason = values
    return Row(seq, key, sha256, source, target, action, size, mtime_ns, permissions, state, bool(made), reason)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into an `OSError` for a full or read-only disk, and a `JournalError` for the rest."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        known = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS, sqlite3.SQLITE_IOERR: errno.EIO}
        if code in known:
            raise OSError(known[code], os.strerror(known[code]), str(path)) from error
        if code == sqlite3.SQLITE_BUSY:
            raise JournalError(f"the journal of {path} is in use by another process; wait for it to end") from error
        raise JournalError(f"the journal {path} can't be used: {error}; restore it from a backup") from error


def fsync_folder(path: Path | str) -> None:
    """Put a folder's entries on disk; systems that can't open a folder (Windows) do so on their own."""
    if os.name != "posix":
        return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
