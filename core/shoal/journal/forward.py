"""Carries an operation out: pending -> temporary file -> sync -> hash -> publish -> commit -> remove the source."""

import os
from pathlib import Path

from shoal.errors import JournalError
from shoal.journal.batches import Work
from shoal.journal.files import (
    CHANGED,
    CHANGED_SIDECAR,
    STOPS,
    RefusedError,
    copy_to,
    holds,
    link_to,
    publish,
    same_entry,
    sha256_of,
)
from shoal.journal.records import Row
from shoal.journal.steps import step
from shoal.journal.store import fsync_folder
from shoal.names import inside

_OPEN = ("planned", "pending", "published")


def carry_out(work: Work) -> None:
    """Do what is left of an operation, whether it has just begun or was interrupted.

    Raises:
        StoppedError: the target takes no more; everything done is written down.
        OSError: the same, met by the journal.
    """
    after, finished = -1, list[Row]()
    while rows := work.journal.batch(work.number, _OPEN, work.batch, after=after):
        after = rows[-1].seq
        fresh = [row for row in rows if row.state == "planned"]
        doubtful = [row for row in rows if row.state != "planned"]
        _pend(work, fresh, finished)
        stop = work.each(lambda row: _recover(work, row), doubtful, "failed")
        stop = work.each(lambda row: _place(work, row), [row for row in rows if row.state == "pending"], "failed") or stop
        published = [row for row in rows if row.state == "published"]
        work.sync(_folder(work.root, row) for row in published)
        for row in published:
            row.state = "published" if row.action == "move" else "done"
        work.commit(rows)
        step("committed")
        if stop is not None:
            raise stop
        old = {row.seq for row in doubtful}
        moved = [row for row in published if row.state == "published"]
        work.each(lambda row, old=old: _remove_source(work, row, again=row.seq in old), moved, "done")  # type: ignore[misc]
        finished = rows
        work.count(rows)
    with work.journal.write():
        work.journal.update(work.number, finished)
        work.journal.set_state(work.number, "done")
    step("finished")


def _folder(root: Path, row: Row) -> Path:
    return (root / row.target).parent


def _temp(work: Work, row: Row) -> Path:
    return _folder(work.root, row) / f".shoal-{work.number}-{row.seq}.part"


def _pend(work: Work, rows: list[Row], finished: list[Row]) -> None:
    """Write down, in one transaction, what ended before and what comes next; then make the folders."""
    missing: dict[Path, None] = {}
    for wanted in {_folder(work.root, row) for row in rows if row.made}:
        for folder in (wanted, *wanted.parents):
            if folder == work.root or folder in missing or os.path.lexists(folder):
                break
            missing[folder] = None
    for row in rows:
        row.state = "pending"
    with work.journal.write():
        work.journal.update(work.number, [*finished, *rows])
        work.journal.add_folders(work.number, (folder.relative_to(work.root).as_posix() for folder in missing))
    step("pending")
    for folder in sorted(missing, key=lambda path: len(path.parts)):
        _make_folder(work.root, folder)
    step("folders made")


def _make_folder(root: Path, folder: Path) -> None:
    """Make a folder below the root; where that fails, its files say so one by one, unless the target takes no more."""
    try:
        inside(root, f"{folder.relative_to(root).as_posix()}/file")
        folder.mkdir()
        fsync_folder(folder.parent)
    except JournalError:
        return
    except OSError as error:
        if error.errno in STOPS:
            raise


def _recover(work: Work, row: Row) -> None:
    """Look at what a killed run left of a row: nothing, a temporary file, or the published target."""
    target = inside(work.root, row.target)
    _temp(work, row).unlink(missing_ok=True)
    if row.made:
        target.parent.mkdir(parents=True, exist_ok=True)
    if row.state == "pending" and row.made and holds(target, row.sha256):
        row.state = "published"


def _place(work: Work, row: Row) -> None:
    """Bring one pending row to `published`."""
    target, source = inside(work.root, row.target), Path(row.source)
    try:
        if not row.made:
            _confirm_present(row, source, target)
        elif row.action == "copy" or not _link(work, row, source, target):
            _copy(work, row, source, target)
    except FileExistsError as error:
        raise RefusedError("another file appeared at the target meanwhile; organise again to get a free name") from error
    except FileNotFoundError as error:
        raise RefusedError("the source vanished" if not os.path.lexists(source) else f"{target.parent} vanished") from error
    except RefusedError as error:
        if row.sha256 != row.id and str(error) == CHANGED:  # a side-car: nobody indexed it
            raise RefusedError(CHANGED_SIDECAR) from error
        raise
    row.state = "published"
    step("published")


def _link(work: Work, row: Row, source: Path, target: Path) -> bool:
    """Link, for a hard link or a move on one device, and return whether that was possible."""
    before = link_to(source, target, row.sha256)
    if before is not None:
        row.note(before)
        return True
    if row.action == "hardlink":
        if not work.fallback:
            raise RefusedError("this file system can't link it; take copy, or allow copies where no link is possible")
        row.action = "copy"
    return False


def _copy(work: Work, row: Row, source: Path, target: Path) -> None:
    temp = _temp(work, row)
    row.note(copy_to(source, temp, row.sha256))
    try:
        publish(temp, target)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise


def _confirm_present(row: Row, source: Path, target: Path) -> None:
    """Make sure that the target still has the bytes, and that a source which is to be removed has no others."""
    if same_entry(source, target):
        row.action = "none"
        return
    if not holds(target, row.sha256):
        raise RefusedError("the file of the same bytes that lay at the target is gone or changed; organise again")
    if row.action == "move" and os.path.lexists(source) and sha256_of(source) != row.sha256:
        raise RefusedError("it changed since it was indexed (its bytes have another sha256); index it again")


def _remove_source(work: Work, row: Row, *, again: bool) -> None:
    """Remove the source of a moved file whose target is on disk and committed; keep it at the least doubt.

    Args:
        work: the operation.
        row: a published row.
        again: whether another process published it, so that hashes must be taken anew.
    """
    source, target = Path(row.source), work.root / row.target
    try:
        inside(work.root, row.target)
        reason = _why_keep(row, source, target, again=again)
        if reason is None:
            source.unlink(missing_ok=True)
    except (OSError, JournalError) as error:
        reason = f"it was copied, but its source could not be removed: {error}"
    row.state = "done"
    if reason is not None:
        row.action, row.reason = "copy" if row.made else "none", reason
    step("source removed")


def _why_keep(row: Row, source: Path, target: Path, *, again: bool) -> str | None:
    if not os.path.lexists(source):
        return None
    if same_entry(source, target):
        return "source and target are the same file"
    there, state = target.lstat() if os.path.lexists(target) else None, source.lstat()
    if there is None or there.st_size != row.size or (again and not holds(target, row.sha256)):
        return "it was copied, but the copy is gone or changed, so its source was kept"
    unchanged = (state.st_size, state.st_mtime_ns) == (row.size, row.mtime_ns)
    if (again or not unchanged) and not holds(source, row.sha256):
        return "it was copied, but its source changed meanwhile and was kept"
    return None
