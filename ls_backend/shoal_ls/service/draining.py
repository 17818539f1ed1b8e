"""Carries events from the inbox into the database of decisions, one thread, at least once and idempotently."""

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from shoal.decisions import Answer, Decisions, Surface
from shoal_ls.annotations import read_annotation
from shoal_ls.service.inbox import Inbox, Kept, State

BATCH = 200
IDLE_SECONDS = 5.0
"""How often an inbox is looked into that nobody rang for: another process may have filled it."""
GATHER_SECONDS = 0.25
"""How long events gather before they are recorded: each transaction keeps the disk from the webhook, which is waited for."""
LONGEST_PAUSE = 60.0

Handler = Callable[[Sequence[Kept]], Mapping[int, State]]
"""Deals with events and returns what became of each, by number; an error leaves them all for later."""

log = logging.getLogger(__name__)


class Drain:
    """The thread that empties an inbox."""

    def __init__(self, inbox: Inbox, handle: Handler) -> None:
        """Take both; `start` begins."""
        self._inbox, self._handle = inbox, handle
        self._bell, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="drain", daemon=True)

    def start(self) -> None:
        """Begin with what was left by an earlier process."""
        self._thread.start()

    def ring(self) -> None:
        """Say that something came."""
        self._bell.set()

    def stop(self) -> None:
        """Finish what is under way; the rest stays in the inbox."""
        self._stopped.set()
        self._bell.set()
        if self._thread.is_alive():
            self._thread.join()

    def once(self) -> int:
        """Deal with a batch of the oldest events and return how many there were."""
        found = self._inbox.waiting(BATCH)
        if found:
            self._inbox.settle(self._handle(found))
        return len(found)

    def _work(self) -> None:
        pause = IDLE_SECONDS
        while not self._stopped.is_set():
            try:
                while self.once() and not self._stopped.is_set():
                    pause = IDLE_SECONDS
            except Exception as error:  # the events are still there: whatever it is, it may pass
                log.error("events are kept for later", extra={"reason": f"{type(error).__name__}: {error}"})
                self._stopped.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            self._bell.wait(IDLE_SECONDS)
            self._bell.clear()
            self._stopped.wait(GATHER_SECONDS)


def recorder(decisions: Decisions) -> Handler:
    """Return the handler that records what reviewers said; hearing of it twice is hearing of it once."""

    def record(found: Sequence[Kept]) -> dict[int, State]:
        surfaces = {surface.key: surface for surface in decisions.surfaces()}
        said = {kept.number: _said(kept, surfaces) for kept in found if not kept.event.deleted}
        decisions.record(answer for answer in said.values() if answer is not None)
        gone = _taken_back([kept for kept in found if kept.event.deleted], decisions)
        decisions.record(answer for answer in gone.values() if answer is not None)
        return {number: "left" if answer is None else "recorded" for number, answer in (said | gone).items()}

    return record


def _said(kept: Kept, surfaces: Mapping[str, Surface]) -> Answer | None:
    """Return what an annotation says; None leaves it to polling.

    The task's data names the surface, and people can edit that: it counts only where the surface is known and its project is
    the one that the event comes from.
    """
    said = json.loads(kept.event.payload)
    data = said["task"].get("data")
    named = data.get("shoal_surface") if isinstance(data, Mapping) else None
    surface = surfaces.get(named) if isinstance(named, str) else None
    if surface is None or kept.event.project not in ("", surface.remote):
        return None
    return read_annotation(data, said["annotation"], surface)


def _taken_back(found: Sequence[Kept], decisions: Decisions) -> dict[int, Answer | None]:
    """Return the answers that were taken back: a webhook gives nothing but their number and the project.

    None leaves one to polling: it was never heard of, or projects of two servers have that number.
    """
    if not found:
        return {}
    surfaces = decisions.surfaces()
    projects = Counter(surface.remote for surface in surfaces)
    owners = {surface.remote: surface.key for surface in surfaces if surface.remote and projects[surface.remote] == 1}
    runs = {surface.run for surface in surfaces}
    known = {(answer.surface, answer.key): answer for run in runs for answer in decisions.revisions(run)}
    last = {kept: known.get((owners.get(kept.event.project, ""), kept.event.key)) for kept in found}
    return {kept.number: None if answer is None else _deleted(answer, kept) for kept, answer in last.items()}


def _deleted(answer: Answer, kept: Kept) -> Answer:
    at = max(kept.received, answer.at)  # clocks differ, and what is taken back comes last
    return answer.model_copy(update={"at": at, "deleted": True, "changes": (), "note": ""})
