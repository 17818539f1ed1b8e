"""The newest version of the run that is served: taken while predictions go on, without a restart."""

import logging
import threading
from collections.abc import Callable, Sequence

from shoal.catalogue import open_run, runs
from shoal.decisions import Decisions
from shoal.host import Host
from shoal.store import Store
from shoal_ls.learning import current_head
from shoal_ls.service.snapshot import Snapshot, take

SECONDS = 2.0
"""How often it is looked whether there is something newer."""

log = logging.getLogger(__name__)


class Current:
    """Holds the snapshot that predictions are made from; another takes its place whole."""

    def __init__(self, store: Store, host: Host, run: str | None = None) -> None:
        """Take a store, and the run that is asked for.

        Args:
            store: that holds the run.
            host: plugins.
            run: name or its beginning; None follows the last that ended well.

        Raises:
            UsageError: there is no such run, or it has no clusters.
        """
        self._store, self._host = store, host
        self._pinned = open_run(store, host, run).id if run else None
        self._listed: tuple[Sequence[str], str] = ((), "")
        self._seen = self._state()
        self.snapshot = self._take(self._seen)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, told: Callable[[Snapshot], object]) -> None:
        """Begin to look for something newer.

        Args:
            told: hears each snapshot that takes another's place.
        """
        self._thread = threading.Thread(target=self._watch, args=(told,), name="reload", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def refresh(self) -> bool:
        """Take what is newer, if anything is, and tell whether there was."""
        state = self._state()
        if state == self._seen:
            return False
        self.snapshot, self._seen = self._take(state), state
        return True

    def _watch(self, told: Callable[[Snapshot], object]) -> None:
        while not self._stopped.wait(SECONDS):
            try:
                if self.refresh():
                    told(self.snapshot)
            except Exception as error:  # what is served stays; the next look may go better
                log.error("the newest version can't be read", extra={"reason": f"{type(error).__name__}: {error}"})

    def _state(self) -> tuple[str, int, str]:
        """Return what tells versions apart, without reading any: the run, the number of its version, the head's version."""
        run = self._pinned or self._newest()
        found = Decisions.found(self._store)
        version = found.current(run) if found is not None and run else None
        head = current_head(self._store, run) if run else None
        return run, version.number if version is not None else 0, head.version if head is not None else ""

    def _newest(self) -> str:
        """Return the last run that ended well; records are read again only where runs came or went, or one goes on."""
        names, newest = self._listed
        found = self._store.runs.names()
        if found != names:
            records = runs(self._store)
            done = [record.id for record in records if record.status == "done"]
            newest = done[-1] if done else ""
            going_on = any(record.status == "running" for record in records)
            self._listed = (() if going_on else found, newest)
        return newest

    def _take(self, state: tuple[str, int, str]) -> Snapshot:
        run = open_run(self._store, self._host, state[0] or None)
        return take(run, current_head(self._store, run.id))
