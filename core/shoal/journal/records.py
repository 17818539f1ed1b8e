"""What the journal tells: rows, receipts, progress and the errors that carry them."""

import os
import stat
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from shoal.errors import JournalError

Mode = Literal["copy", "move", "hardlink"]

RECEIPTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),  # absolute path
        pa.field("target", pa.string(), nullable=False),  # final name, relative to the root
        pa.field("operation", pa.string(), nullable=False),  # copy, move, hardlink or none: what was really done
        pa.field("status", pa.string(), nullable=False),  # planned, done, present, failed, undone, refused
        pa.field("reason", pa.string()),  # one sentence where the status needs one
    ]
)


@dataclass(slots=True)
class Row:
    """One file of an operation, as the journal keeps it.

    Attributes:
        seq: place in the plan.
        id: id of the image that it belongs to.
        sha256: hash of its bytes; the id for an image, measured for a side-car; empty where the source was gone.
        source: absolute path.
        target: final name relative to the root.
        action: copy, move, hardlink or none: what is done with this file, and so what an undo has to take back.
        size, mtime_ns, permissions: of the source: bytes, nanoseconds, the bits that `chmod` takes.
        state: planned, pending, published, done, failed; on the way back undoing, restored, undone, refused.
        made: False where the target was there before, with the same bytes.
        reason: one sentence, or None.
    """

    seq: int
    id: str
    sha256: str
    source: str
    target: str
    action: str
    size: int
    mtime_ns: int
    permissions: int
    state: str = "planned"
    made: bool = True
    reason: str | None = None

    def note(self, source: os.stat_result) -> None:
        """Keep what the source was like when it was read."""
        self.size, self.mtime_ns, self.permissions = source.st_size, source.st_mtime_ns, stat.S_IMODE(source.st_mode)

    @property
    def status(self) -> str:
        """What a receipt says of it."""
        return "present" if self.state in ("planned", "done") and not self.made else self.state


@dataclass(frozen=True)
class Operation:
    """One `organize` call, as the journal keeps it.

    Attributes:
        number: 1 for the first one under this root.
        mode: copy, move or hardlink.
        state: running, done, undoing or undone.
        digest: hash of mode and plan; the same call again goes on where it was.
        fallback: whether files that can't be linked may be copied.
        started: seconds since the epoch.
        files: number of rows.
    """

    number: int
    mode: Mode
    state: str
    digest: str
    fallback: bool
    started: float
    files: int


@dataclass(frozen=True)
class Receipts:
    """What became of each file.

    Attributes:
        operation: its number under this root.
        mode: copy, move or hardlink.
        undo: whether these receipts are of its undo.
        table: a row a file, of schema `RECEIPTS`, in the plan's order.
        seconds: time taken by this call.
        resumed: whether it went on with an operation that had been interrupted.
    """

    operation: int
    mode: Mode
    undo: bool
    table: pa.Table
    seconds: float
    resumed: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """Number of files by status."""
        return dict(sorted(Counter(self.table.column("status").to_pylist()).items()))


def receipts_table(rows: list[Row]) -> pa.Table:
    """Return rows of the journal as a table of schema `RECEIPTS`."""
    records = [(row.id, row.source, row.target, row.action, row.status, row.reason) for row in rows]
    return pa.table([list(column) for column in zip(*records, strict=True)] or [[]] * len(RECEIPTS), schema=RECEIPTS)


class OrganizeStoppedError(JournalError):
    """The target takes no more (full, read-only): what is done stays done, and the same call goes on later.

    Attributes:
        receipts: what became of each file so far; the rest has the status planned.
    """

    def __init__(self, message: str, receipts: pa.Table) -> None:
        """Keep the receipts beside the message."""
        super().__init__(message)
        self.receipts = receipts


@dataclass(frozen=True)
class Progress:
    """How far an operation is. Rates count this call only.

    Attributes:
        done, total: files.
        failed: files that failed or were refused, counted in `done`.
        bytes_done: bytes of the files done in this call.
        seconds: since this call began.
        files_per_second: mean rate.
        eta_seconds: time left at this rate; None before the first file.
    """

    done: int
    total: int
    failed: int
    bytes_done: int
    seconds: float
    files_per_second: float
    eta_seconds: float | None


@dataclass
class Meter:
    """Counts files and makes `Progress` of them."""

    total: int
    before: int = 0
    done: int = 0
    failed: int = 0
    bytes_done: int = 0
    began: float = field(default_factory=time.monotonic)

    def add(self, rows: list[Row]) -> Progress:
        """Count finished rows and return how far things are."""
        self.done += len(rows)
        self.failed += sum(row.state in ("failed", "refused") for row in rows)
        self.bytes_done += sum(row.size for row in rows)
        seconds = max(time.monotonic() - self.began, 1e-9)
        rate = self.done / seconds
        eta = (self.total - self.before - self.done) / rate if self.done else None
        return Progress(self.before + self.done, self.total, self.failed, self.bytes_done, seconds, rate, eta)
