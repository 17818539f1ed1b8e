"""One `shoal review open` of a run at a time: two at once would make two projects of each kind."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from shoal import locks
from shoal.catalogue import Run
from shoal.errors import StoreError, UsageError

LOCK, NOTE = "review-open.lock", "review-open.json"


@contextmanager
def alone(run: Run) -> Iterator[None]:
    """Hold the lock of opening a run; a run of an object store has none: its folder is shared by machines.

    Raises:
        UsageError: another holds it; the message names its process and host.
        StoreError: the run's folder can't be written.
    """
    folder = run.folder.local
    if folder is None:
        yield
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(locks.hold(folder / LOCK, folder / NOTE))
        except locks.Held as held:
            who = f"another `shoal review open`{f' ({held})' if str(held) else ''}"
            raise UsageError(
                f"{who} is opening run {run.id}; wait for it to end, then give the same command again"
            ) from held
        except OSError as error:
            raise StoreError(f"{folder} can't be written: {error.strerror or error}") from error
        yield
