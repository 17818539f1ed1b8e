"""How a run's review stands."""

from dataclasses import dataclass

from shoal.catalogue import Run
from shoal.decisions import Conflict, Decisions, Policy, Surface, Unsettled, Version
from shoal.reviewing.carry import lost
from shoal.reviewing.carrying import Lost
from shoal.reviewing.versions import counting, outcome, revision, withdrawn


@dataclass(frozen=True)
class Status:
    """How a run's review stands.

    Attributes:
        version: the current one; None: what was computed stands.
        surfaces: where the run is reviewed.
        answers: that count.
        waiting: of these, the ones that the current version does not hold.
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
    revisions, versions = run.revisions, run.versions
    gone = withdrawn(versions)
    counted = counting(revisions, versions)
    held = set(run.version.answers) if run.version else set()
    done = outcome(run, versions, counted, policy)
    database = Decisions.found(run.store)
    return Status(
        version=run.version,
        surfaces=tuple(database.surfaces(run.id)) if database else (),
        answers=sum(not answer.deleted for answer in counted),
        waiting=sum(revision(answer) not in held for answer in counted),
        withdrawn=sum(revision(answer) in gone for answer in revisions),
        conflicts=done.conflicts,
        unsettled=done.unsettled,
        lost=tuple(lost(run)),
    )
