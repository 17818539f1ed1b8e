"""Locks between processes of one machine: files that say who holds them."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path


class Held(Exception):  # noqa: N818  (an outcome: "the lock is held")
    """Another holds the lock; the message says who: `process 7 on host, since ...`; empty where that is not known."""


@contextlib.contextmanager
def hold(lock: Path, note: Path) -> Iterator[None]:
    """Hold a lock during the block; a holder that was killed holds it no more.

    Args:
        lock: file that is locked; its folder is there.
        note: file that tells others who holds it.

    Raises:
        Held: another thread or process holds it.
    """
    from filelock import FileLock, Timeout

    held = FileLock(lock, timeout=0)
    try:
        held.acquire()
    except Timeout as error:
        raise Held(_holder(note)) from error
    try:
        facts = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        note.write_text(json.dumps(facts), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            note.unlink(missing_ok=True)
        held.release()


def _holder(note: Path) -> str:
    try:
        facts = json.loads(note.read_text(encoding="utf-8"))
        return f"process {facts['pid']} on {facts['host']}, since {facts['since']}"
    except (OSError, ValueError, LookupError, TypeError):  # the holder is about to write it, or to go
        return ""
