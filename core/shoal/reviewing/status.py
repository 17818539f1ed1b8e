"""How a run's review stands."""

from dataclasses import dataclass

from shoal.catalogue import Run
from shoal.decisions import Conflict, Decisions, Policy, Surface, Unsettled, Version
from shoal.decisions.standing import revision
from shoal.reviewing.carry import lost
from shoal.reviewing.carrying import Lost
from shoal.reviewing.versions import outcome, standing


@dataclass(frozen=True)
class Status:
    """How a run's review stands.

    Attributes:
        version: the current one; None: what was computed stands.
        surfaces: where the run is reviewed.
        answers: that count.
        waiting: answers, and takings back, that the current version has not considered.
        withdrawn: revisions that were withdrawn by undo.
        conflicts, unsettled: what applying the answers now would leave out.
        lost: what could not be carried from an earlier run.
    """

    version: Version | None
    surfaces: tuple[Surface, ...]
    answers: int
    waiting: int
    withdrawn: int
    conflicts: tuple[Conflict, ...]
    unsettled: tuple[Unsettled, ...]
    lost: tuple[Lost, ...]


def status(run: Run, policy: Policy = "latest") -> Status:
    """Return how a run's review stands; nothing is written.

    Raises:
        UsageError: the run has no clusters.
    """
    stood = standing(run)
    done = outcome(run, stood, policy)
    database = Decisions.found(run.store)
    return Status(
        version=stood.current,
        surfaces=tuple(database.surfaces(run.id)) if database else (),
        answers=sum(not answer.deleted for answer in stood.counting),
        waiting=len(stood.waiting),
        withdrawn=sum(revision(answer) in stood.withdrawn for answer in stood.revisions),
        conflicts=done.conflicts,
        unsettled=done.unsettled,
        lost=tuple(lost(run)),
    )
