"""The journal: carries an organiser's plan out so that no file is ever lost, goes on after a kill, and undoes it.

Every file goes `pending` (written down) -> temporary name in the target folder -> on disk -> hash -> published without
replacing anything -> committed; only then is the source of a move removed. The journal lies in `.shoal/` below the root.
"""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from shoal.errors import JournalError, UsageError
from shoal.journal.back import undo_rows
from shoal.journal.batches import OnProgress, Work, stopping
from shoal.journal.forward import carry_out
from shoal.journal.lock import hold
from shoal.journal.plan import check_plan, digest_of, prepare
from shoal.journal.records import RECEIPTS, Mode, Operation, OrganizeStoppedError, Progress, Receipts, receipts_table
from shoal.journal.steps import step
from shoal.journal.store import Journal
from shoal.names import JOURNAL_FOLDER

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "RECEIPTS", "Mode", "OnProgress", "Operation", "OrganizeStoppedError", "Progress", "Receipts",
    "history", "organize", "preview", "resume", "undo",
]  # fmt: skip

WORKERS = 4
"""Threads: they wait for the disk most of the time; more than a few did not make small files faster."""


def preview(plan: "pa.Table", root: Path | str, mode: Mode = "copy", *, fallback: bool = False) -> "pa.Table":
    """Return what `organize` would do, as a table of schema `RECEIPTS`, and touch nothing.

    Raises:
        UsageError: the plan lacks a column.
        JournalError: as `organize`, for what is known beforehand: devices, space.
    """
    check_plan(plan)
    return receipts_table(prepare(plan, Path(os.path.realpath(root)), mode, fallback=fallback))


def organize(
    plan: "pa.Table",
    root: Path | str,
    mode: Mode = "copy",
    *,
    workers: int = WORKERS,
    fallback: bool = False,
    on_progress: OnProgress | None = None,
) -> Receipts:
    """Carry out a plan, after finishing whatever was interrupted under this root.

    If what was interrupted is this very plan and mode, that is all: going on is the same call again.

    Args:
        plan: `id` (sha256 of the image's bytes), `source` (absolute path), `target` (relative to the root); where a column
            `sidecar` is true, the row is a file beside the image and its hash is measured. What an organiser gives.
        root: folder to fill; made where it is missing.
        mode: copy, move or hardlink.
        workers: threads.
        fallback: copy files that can't be linked; without it, hard links across devices are refused beforehand.
        on_progress: called after every batch.

    Raises:
        UsageError: the plan lacks a column.
        JournalError: the root can't be written, another organiser is at work, the copies do not fit, links can't be made.
        OrganizeStoppedError: the target took no more; the same call goes on.
    """
    check_plan(plan)
    place = _made_root(root)
    with _open(place, create=True) as journal:
        digest = digest_of(plan, mode)
        before = _finish(journal, workers, on_progress)
        if before is not None and before[0] == digest and not before[1].undo:
            return before[1]
        rows = prepare(plan, place, mode, fallback=fallback, earlier=journal.earlier)
        with _writable(place), journal.write():
            operation = journal.begin(mode, digest, fallback, rows)
        step("planned")
        return _forward(journal, operation, workers, on_progress, resumed=False)


def resume(root: Path | str, *, workers: int = WORKERS, on_progress: OnProgress | None = None) -> Receipts | None:
    """Finish what was interrupted under a root, an operation or its undo; None where nothing was.

    Raises:
        JournalError: the root has no journal, or another organiser is at work.
        OrganizeStoppedError: the target took no more; the same call goes on.
    """
    with _open(Path(os.path.realpath(root)), create=False) as journal:
        found = _finish(journal, workers, on_progress)
        return found[1] if found else None


def undo(
    root: Path | str, *, operation: int | None = None, workers: int = WORKERS, on_progress: OnProgress | None = None
) -> Receipts | None:
    """Undo the last operation that is not undone yet; None where all are.

    An interrupted operation is first brought to its end, an interrupted undo finished. Moved files go back to their paths
    with their times; copies and links are removed while their original is there; folders made and now empty go. A file that
    changed since is left alone and its receipt is `refused`, with the reason.

    Args:
        root: the organised folder.
        operation: number of an operation, also of one already undone: its refused files are tried again.
        workers: threads.
        on_progress: called after every batch.

    Raises:
        JournalError: the root has no journal, no such operation, or another organiser is at work.
        OrganizeStoppedError: a disk took no more; the same call goes on.
    """
    with _open(Path(os.path.realpath(root)), create=False) as journal:
        before = _finish(journal, workers, on_progress)
        if before is not None and before[1].undo and operation in (None, before[1].operation):
            return before[1]
        chosen = _to_undo(journal, operation)
        if chosen is None:
            return None
        with _writable(journal.root), journal.write():
            journal.set_state(chosen.number, "undoing")
            journal.set_states(chosen.number, "refused", "undoing")
        step("undo planned")
        return _back(journal, replace(chosen, state="undoing"), workers, on_progress, resumed=False)


def history(root: Path | str) -> list[Operation]:
    """Return the operations of a root, the oldest first.

    Raises:
        JournalError: the root has no journal, or an organiser is at work.
    """
    with _open(Path(os.path.realpath(root)), create=False) as journal:
        return journal.operations()


def _to_undo(journal: Journal, number: int | None) -> Operation | None:
    operations = journal.operations()
    if number is None:
        alive = (operation for operation in reversed(operations) if operation.state != "undone")
        return next((operation for operation in alive if journal.effects(operation.number)), None)
    chosen = next((operation for operation in operations if operation.number == number), None)
    if chosen is None:
        raise JournalError(f"{journal.root} has no operation {number}; it has {len(operations)}, counted from 1")
    return chosen if chosen.state != "undone" or journal.count(number, ("refused",)) else None


def _finish(journal: Journal, workers: int, on_progress: OnProgress | None) -> tuple[str, Receipts] | None:
    """Bring what was interrupted to its end; at most the last operation begun can be."""
    found = None
    for operation in journal.operations():
        if operation.state == "running":
            found = operation.digest, _forward(journal, operation, workers, on_progress, resumed=True)
        elif operation.state == "undoing":
            found = operation.digest, _back(journal, operation, workers, on_progress, resumed=True)
    return found


def _forward(
    journal: Journal, operation: Operation, workers: int, on_progress: OnProgress | None, *, resumed: bool
) -> Receipts:
    began = time.monotonic()
    with ThreadPoolExecutor(max(1, workers)) as pool:
        work = Work(journal, operation, pool, on_progress)
        with stopping(work, "organised"):
            carry_out(work)
    return _receipts(journal, operation, time.monotonic() - began, undone=False, resumed=resumed)


def _back(
    journal: Journal, operation: Operation, workers: int, on_progress: OnProgress | None, *, resumed: bool
) -> Receipts:
    began = time.monotonic()
    with ThreadPoolExecutor(max(1, workers)) as pool:
        work = Work(journal, operation, pool, on_progress)
        with stopping(work, "undone"):
            undo_rows(work)
    return _receipts(journal, operation, time.monotonic() - began, undone=True, resumed=resumed)


def _receipts(journal: Journal, operation: Operation, seconds: float, *, undone: bool, resumed: bool) -> Receipts:
    table = receipts_table(journal.rows(operation.number))
    return Receipts(operation.number, operation.mode, undone, table, seconds, resumed)


def _made_root(root: Path | str) -> Path:
    with _writable(root):
        place = Path(os.path.realpath(root))
        if place.exists() and not place.is_dir():
            raise UsageError(f"{root} is no folder; name a folder to organise into")
        place.mkdir(parents=True, exist_ok=True)
    return place


@contextmanager
def _open(root: Path, *, create: bool) -> Iterator[Journal]:
    """Hold the lock of a root and open its journal."""
    if not create and not (root / JOURNAL_FOLDER).is_dir():
        raise JournalError(f"{root} has no journal: shoal organised nothing there; name the folder given with --to")
    with ExitStack() as stack:
        with _writable(root):
            stack.enter_context(hold(root))
            journal = stack.enter_context(Journal(root, create=create))
        yield journal


@contextmanager
def _writable(root: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JournalError(
            f"{root} can't be written: {error.strerror or error}; mend that or choose another folder"
        ) from error
