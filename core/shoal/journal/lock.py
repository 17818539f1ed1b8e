"""One organiser at a time under a root."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from shoal import locks
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
    folder = root / JOURNAL_FOLDER
    folder.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.hold(folder / LOCK, folder / HOLDER))
        except locks.Held as held:
            who = f"another organiser{f' ({held})' if str(held) else ''}"
            raise JournalError(f"{who} is organising {root}; wait for it to end, or stop it first") from held
        yield
