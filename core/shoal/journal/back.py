"""Undoes an operation, itself journalled: paths, bytes and times come back, and what changed since is left alone."""

import contextlib
import os
from pathlib import Path

from shoal.journal.batches import Work
from shoal.journal.files import RefusedError, copy_to, holds, link_to, publish, same_entry
from shoal.journal.records import Row
from shoal.journal.steps import step
from shoal.journal.store import fsync_folder
from shoal.names import inside

_OPEN = ("done", "undoing", "restored")


def undo_rows(work: Work) -> None:
    """Undo what is left of an operation, the last files first, then remove the folders that it made and that are empty.

    Raises:
        StoppedError: a disk takes no more; everything done is written down.
        OSError: the same, met by the journal.
    """
    before, finished = 1 << 62, list[Row]()
    while rows := work.journal.batch_back(work.number, _OPEN, work.batch, before=before):
        before = rows[-1].seq
        doubtful = {row.seq for row in rows if row.state != "done"}
        for row in rows:
            row.state = "undoing" if row.state == "done" else row.state
        with work.journal.write():
            work.journal.update(work.number, [*finished, *rows])
        step("undo pending")
        moves = [row for row in rows if row.action == "move"]
        stop = work.each(lambda row: _restore(work, row), [row for row in moves if row.state == "undoing"], "refused")
        work.sync(Path(row.source).parent for row in moves if row.state == "restored")
        work.commit(moves)
        step("undo committed")
        if stop is not None:
            raise stop
        back = [row for row in moves if row.state == "restored"]
        stop = work.each(lambda row, old=doubtful: _remove_target(work, row, again=row.seq in old), back, "refused")  # type: ignore[misc]
        # Copies come after the moves of their batch: a copy is only removed while its original is in its place.
        stop = (
            work.each(lambda row: _remove_copy(work, row), [row for row in rows if row.state == "undoing"], "refused")
            or stop
        )
        if stop is not None:
            work.commit(rows)
            raise stop
        finished = rows
        work.count(rows)
    _remove_folders(work)
    with work.journal.write():
        work.journal.update(work.number, finished)
        work.journal.set_state(work.number, "undone")
    step("undone")


def _restore(work: Work, row: Row) -> None:
    """Bring a moved file back to its old path, under which nothing is ever replaced."""
    source, target = Path(row.source), inside(work.root, row.target)
    temp = source.parent / f".shoal-undo-{work.number}-{row.seq}.part"
    temp.unlink(missing_ok=True)
    if os.path.lexists(source):
        if not holds(source, row.sha256):
            raise RefusedError(f"another file is at its original path {source}; move that away and undo again")
        row.state = "restored"
        return
    if not os.path.lexists(target):
        raise RefusedError("it is no longer where organise put it, so it can't be brought back")
    if not holds(target, row.sha256):
        raise RefusedError("it changed since it was organised (its bytes have another sha256), so it was left where it is")
    source.parent.mkdir(parents=True, exist_ok=True)
    if row.made:
        _as_before(target, row)
    if not row.made or link_to(target, source, row.sha256) is None:
        copy_to(target, temp, row.sha256)
        _as_before(temp, row)
        publish(temp, source)
    step("restored")
    row.state = "restored"


def _as_before(path: Path, row: Row) -> None:
    """Give a file its old permissions and time before it gets its old path: a kill leaves nothing half restored there."""
    path.chmod(row.permissions)
    os.utime(path, ns=(path.stat().st_atime_ns, row.mtime_ns))


def _remove_target(work: Work, row: Row, *, again: bool) -> None:
    source, target = Path(row.source), inside(work.root, row.target)
    if row.made and os.path.lexists(target):
        if same_entry(source, target) or not (holds(target, row.sha256) and (not again or holds(source, row.sha256))):
            raise RefusedError("it is back at its original path, but its organised copy changed meanwhile and was kept")
        target.unlink()
    row.state = "undone"
    step("target removed")


def _remove_copy(work: Work, row: Row) -> None:
    """Remove an unchanged copy or link whose original is still there: the last copy of a file is never removed."""
    source, target = Path(row.source), inside(work.root, row.target)
    if row.made and os.path.lexists(target):
        if not holds(target, row.sha256):
            raise RefusedError("it changed since it was organised (its bytes have another sha256), so it was kept")
        if same_entry(source, target) or not holds(Path(os.path.realpath(source)), row.sha256):
            raise RefusedError("its original is gone or changed, so this copy was kept")
        target.unlink()
    row.state = "undone"
    step("copy removed")


def _remove_folders(work: Work) -> None:
    for name in work.journal.folders(work.number):
        folder = work.root / name
        with contextlib.suppress(OSError):  # not empty, gone, or not ours any more: it stays
            if not folder.is_symlink():
                folder.rmdir()
                fsync_folder(folder.parent)
    step("folders removed")
