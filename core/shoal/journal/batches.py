"""What carrying out and undoing share: threads, bounded batches, and a clean stop when the target takes no more."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shoal.errors import JournalError
from shoal.journal.files import STOPS, RefusedError, StoppedError
from shoal.journal.records import Meter, Operation, OrganizeStoppedError, Progress, Row, receipts_table
from shoal.journal.steps import step
from shoal.journal.store import Journal, fsync_folder

BATCH = 256
"""Files between two commits: enough that the commits' syncs cost little, few enough that a killed run repeats little."""

OnProgress = Callable[[Progress], None]


class Work:
    """One operation in progress: the journal, the threads, the meter."""

    def __init__(
        self, journal: Journal, operation: Operation, pool: ThreadPoolExecutor, on_progress: OnProgress | None
    ) -> None:
        """Begin, or go on with, an operation that is in the journal."""
        self.journal = journal
        self.number = operation.number
        self.batch = BATCH
        self.fallback = operation.fallback
        self.root = journal.root
        self.pool = pool
        ended = ("undone", "refused", "failed") if operation.state in ("undoing", "undone") else ("done", "failed")
        self.meter = Meter(operation.files, journal.count(operation.number, ended))
        self.on_progress = on_progress

    def each(self, act: Callable[[Row], None], rows: list[Row], fallen: str) -> StoppedError | None:
        """Let the threads do `act` to each row; one that can't be done gets the state `fallen` and the reason.

        Returns:
            The first error after which the target takes no more; the rows that met it keep their state.
        """
        stops = list(self.pool.map(lambda row: _guarded(act, row, fallen), rows))  # all threads are at rest after this line
        return next((stop for stop in stops if stop is not None), None)

    def commit(self, rows: list[Row]) -> None:
        """Write rows down."""
        with self.journal.write():
            self.journal.update(self.number, rows)

    def count(self, rows: list[Row]) -> None:
        """Report finished rows."""
        progress = self.meter.add(rows)
        if self.on_progress is not None and rows:
            self.on_progress(progress)

    def sync(self, folders: Iterable[Path]) -> None:
        """Put the entries of folders on disk."""
        for folder in sorted(set(folders)):
            with contextlib.suppress(FileNotFoundError):
                fsync_folder(folder)
        step("folders synced")


def _guarded(act: Callable[[Row], None], row: Row, fallen: str) -> StoppedError | None:
    try:
        act(row)
    except StoppedError as stop:
        return stop
    except (RefusedError, JournalError) as refusal:
        row.state, row.reason = fallen, str(refusal)
    except OSError as error:
        row.state, row.reason = fallen, f"{error.strerror or error}: {error.filename2 or error.filename or row.source}"
    return None


@contextlib.contextmanager
def stopping(work: Work, verb: str) -> Iterator[None]:
    """Turn a full or read-only target into `OrganizeStoppedError`, which tells what is done and how to go on."""
    try:
        yield
    except (StoppedError, OSError) as error:
        cause = error.error if isinstance(error, StoppedError) else error
        if cause.errno not in STOPS:
            raise
        rows = work.journal.rows(work.number)
        finished = sum(row.state in ("done", "failed", "undone", "refused") for row in rows)
        mend = "free some space" if cause.errno in (errno.ENOSPC, errno.EDQUOT) else "make it writable"
        raise OrganizeStoppedError(
            f"{os.strerror(cause.errno or 0)} in {work.root}: {finished} of {len(rows)} files are {verb}, no file is lost; "
            f"{mend} and give the same command again to go on",
            receipts_table(rows),
        ) from error
