"""The heads of a run in its store: `heads/RUN/N/` with the weights and a record, and which of them is current."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from zipfile import BadZipFile

from pydantic import ValidationError

from shoal.errors import StoreError, UsageError
from shoal.store import Folder, Store
from shoal_ls.learning.head import Head, HeadRecord, unpacked

WEIGHTS = "head.npz"
RECORD = "head.json"
CURRENT = "current.json"
LOCK = ".lock"


class BusyError(StoreError):
    """Somebody else trains or rolls back a head of the same run."""


@dataclass(frozen=True)
class Heads:
    """The heads of a run.

    Attributes:
        store: that holds the run.
        run: its name.
    """

    store: Store
    run: str

    @property
    def folder(self) -> Folder:
        """Where they lie."""
        return self.store.root / "heads" / self.run

    def records(self) -> list[HeadRecord]:
        """Return the records of all heads, the oldest first, also of those that never became current.

        Raises:
            StoreError: one is damaged.
        """
        numbers = sorted(int(name) for name in self.folder.names() if name.isdigit())
        return [self._record(number) for number in numbers if (self.folder / str(number)).exists(RECORD)]

    def add(self, record: HeadRecord, data: bytes) -> Head:
        """Keep a head; its record is written last, so that it is there whole or not at all."""
        folder = self.folder / str(record.number)
        folder.write(WEIGHTS, data)
        folder.write_json(RECORD, record.model_dump(mode="json"))
        return unpacked(record, data)

    def next_number(self) -> int:
        """Return the number of a head to be made."""
        return max((record.number for record in self.records()), default=0) + 1

    def current(self) -> Head | None:
        """Return the head to predict with; None where there is none.

        Raises:
            StoreError: it is damaged.
        """
        line = self._line()
        return self._read(line[-1]) if line else None

    def promote(self, number: int) -> None:
        """Make a head current; the one before stays remembered."""
        self.folder.write_json(CURRENT, {"line": [*(known for known in self._line() if known != number), number]})

    def rollback(self) -> tuple[int, int]:
        """Make the head before the current one current; return both numbers, 0 for none.

        Raises:
            UsageError: no head is current.
        """
        line = self._line()
        if not line:
            raise UsageError(
                f"run {self.run} has no trained head to take back; predictions come from the nearest centroids already"
            )
        self.folder.write_json(CURRENT, {"line": line[:-1]})
        return line[-1], line[-2] if len(line) > 1 else 0

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others from changing heads of the run meanwhile, where the store lies on a local disk.

        Raises:
            BusyError: somebody does already.
        """
        local = self.folder.local
        if local is None:  # an object store has no locks; numbers that clash would be written twice alike
            yield
            return
        from filelock import FileLock, Timeout

        local.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(local / LOCK, timeout=0):
                yield
        except Timeout as error:
            raise BusyError(f"a head of run {self.run} is being trained already; wait for it to end") from error

    def _line(self) -> list[int]:
        if not self.folder.exists(CURRENT):
            return []
        found = self.folder.read_json(CURRENT)
        line = found.get("line") if isinstance(found, dict) else None
        if not isinstance(line, list) or not all(isinstance(number, int) for number in line):
            raise StoreError(f"{self.folder.uri}/{CURRENT} is damaged; remove it to predict without a head")
        return line

    def _record(self, number: int) -> HeadRecord:
        folder = self.folder / str(number)
        try:
            return HeadRecord.model_validate(folder.read_json(RECORD))
        except ValidationError as error:
            raise StoreError(f"{folder.uri}/{RECORD} is damaged or of another shoal; remove {folder.uri}") from error

    def _read(self, number: int) -> Head:
        record, folder = self._record(number), self.folder / str(number)
        data = folder.read(WEIGHTS)
        if hashlib.sha256(data).hexdigest() != record.weights:
            raise StoreError(f"{folder.uri}/{WEIGHTS} is damaged; `shoal review rollback` goes back to the head before")
        try:
            return unpacked(record, data)
        except (ValueError, KeyError, BadZipFile) as error:
            raise StoreError(f"{folder.uri}/{WEIGHTS} can't be read: {error}") from error


def current_head(store: Store, run: str) -> Head | None:
    """Return the head that predictions of a run use; None where the nearest centroids do.

    Raises:
        StoreError: it is damaged.
    """
    return Heads(store, run).current()


def rollback(store: Store, run: str) -> tuple[int, int]:
    """Go back to the head before the current one and return the numbers of both, 0 for none.

    Raises:
        UsageError: no head is current.
        BusyError: one is being trained.
    """
    heads = Heads(store, run)
    with heads.alone():
        return heads.rollback()
