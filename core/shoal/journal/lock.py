"""One organiser at a time under a root."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from shoal.errors import JournalError
from shoal.names import JOURNAL_FOLDER

LOCK = "organize.lock"
HOLDER = "holder.json"


@contextlib.contextmanager
def hold(root: Path) -> Iterator[None]:
    """Hold the lock of `root` during the block; a holder that was killed holds it no more.

    Raises:
        JournalError: another organiser holds it; the message names its process and host.
    """
    from filelock import FileLock, Timeout

    folder = root / JOURNAL_FOLDER
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise JournalError(f"{_holder(folder)} is organising {root}; wait for it to end, or stop it first") from error
    try:
        note = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        (folder / HOLDER).write_text(json.dumps(note), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path) -> str:
    try:
        note = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return f"another organiser (process {note['pid']} on {note['host']}, since {note['since']})"
    except (OSError, ValueError, KeyError):
        return "another organiser"
