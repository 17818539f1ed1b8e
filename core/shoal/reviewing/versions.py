"""Versions of a run: made of the answers that count, gone back behind, gone forward to again."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from shoal.catalogue import REVIEWED, Run
from shoal.decisions import Conflict, Considered, Decisions, Policy, Standing, Unsettled, Version, now
from shoal.decisions.resolve import resolve
from shoal.decisions.standing import current, revision
from shoal.errors import StoreError, UsageError
from shoal.records import clustering
from shoal.reviewing.apply import Reviewed, apply
from shoal.reviewing.bases import Numbers, base_tables
from shoal.reviewing.splitting import Vectors
from shoal.store.tables import content
from shoal.vectors import to_numpy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRIES = 5
"""How often a version is begun anew because somebody else made one of its number meanwhile."""


@dataclass(frozen=True)
class Made:
    """What came of the answers.

    Attributes:
        version: that was made; None where the answers change nothing.
        conflicts: answers to different tasks that exclude each other; none of them is applied.
        unsettled: what else is not applied, and why.
    """

    version: Version | None
    conflicts: tuple[Conflict, ...]
    unsettled: tuple[Unsettled, ...]


def make_version(run: Run, policy: Policy = "latest", by: str = "") -> Made:
    """Apply the answers that count to a run's clusters and labels, and make that its current version.

    Tables are written first, the version's row last: what is killed before that leaves nothing that anybody reads. Where
    the answers change nothing of the current version, none is made, and that one holds them from then on. A `Run` that is
    open stays at its version: `run.look()`.

    Args:
        run: that has clusters.
        policy: how answers of several people about one task are settled.
        by: who asks for it.

    Raises:
        UsageError: the run has no clusters.
        StoreError: the database or the store can't be used, or others make versions of the run all the time.
    """
    decisions = Decisions.of(run.store)
    for _ in range(TRIES):
        made = _make(run, decisions, policy, by)
        if made is not None:
            return made
    raise StoreError(f"others make versions of run {run.id} all the time; give the same command again")


def standing(run: Run) -> Standing:
    """Return what was said about a run, and what became of it, as it is now."""
    return Standing(revisions=run.revisions, versions=run.versions, considered=run.considered)


def _make(run: Run, decisions: Decisions, policy: Policy, by: str) -> Made | None:
    """Make a version; None where somebody else made or undid one meanwhile."""
    stood = standing(run)
    done = outcome(run, stood, policy)
    start, stands, told = stood.base, stood.current, stood.counting
    digest = digest_of(done.clusters, done.labels)
    made = Made(None, done.conflicts, done.unsettled)
    if digest == stands.digest if stands else not done.summary:
        if stood.waiting:
            answers = tuple(revision(answer) for answer in stood.waiting)
            number = stands.number if stands else 0
            if not _stands(decisions, run, number):  # undone meanwhile: its undo would take these back, too
                return None
            decisions.consider(Considered(run=run.id, version=number, made=now(), by=by, answers=answers))
        return made
    version = Version(
        run=run.id, number=next_number(stood.versions), made=now(), by=by, base=start.number if start else 0,
        answers=tuple(revision(answer) for answer in told), summary=done.summary, parent=stands.number if stands else 0,
        policy=policy, people=people(answer.who for answer in told), digest=digest, numbers=done.numbers,
        highest=done.highest,
    )  # fmt: skip
    return replace(made, version=version) if keep(run, decisions, version, done.clusters, done.labels) else None


def outcome(run: Run, stood: Standing, policy: Policy) -> Reviewed:
    """Return what comes of the answers that count.

    Args:
        run: the run.
        stood: what was said about it, and what became of it.
        policy: how answers of several people are settled.

    Raises:
        UsageError: the run has no clusters.
    """
    answers = [answer for answer in stood.counting if not answer.deleted]
    told = Numbers(run, stood.base, stood.versions).tell(answers)
    done = apply(base_tables(run, stood.base, stood.versions), resolve(told.answers, policy), vectors_of(run))
    return replace(done, unsettled=(*told.unsettled, *done.unsettled))


def people(names: Iterable[str | None]) -> tuple[str, ...]:
    """Return the names of people, each once, in order."""
    return tuple(sorted({name for name in names if name}))


def keep(run: Run, decisions: Decisions, version: Version, clusters: pa.Table, labels: pa.Table) -> bool:
    """Write a version's tables, then its row; False where somebody made or undid a version meanwhile."""
    folder = run.folder / version.folder
    folder.write_table(REVIEWED["cluster"], clusters)
    folder.write_table(REVIEWED["label"], labels)
    return _stands(decisions, run, version.parent) and decisions.add_version(version)


def _stands(decisions: Decisions, run: Run, number: int) -> bool:
    """Tell whether a version still is the current one; 0 is what was computed."""
    stands = decisions.current(run.id)
    return (stands.number if stands else 0) == number


def next_number(versions: Iterable[Version]) -> int:
    """Return the number of the next version."""
    return max((version.number for version in versions), default=0) + 1


def digest_of(clusters: pa.Table, labels: pa.Table) -> str:
    """Return a hash of a version's tables."""
    return hashlib.sha256(f"{content(clusters)}{content(labels)}".encode()).hexdigest()


def vectors_of(run: Run) -> Vectors:
    """Return what gives the vectors that a run's clusters were made of; nothing is read before they are asked for."""

    @cache
    def table() -> pa.Table:
        step = run.record.step(clustering(run.record) or "")
        column = f"{step.sources['embedding']}.embedding" if step else "embedding"
        return run.joined([column]).rename_columns(["id", "embedding"])

    def vectors(ids: Sequence[str]) -> "NDArray[np.float32]":
        place = pc.index_in(pa.array(ids, pa.string()), value_set=table()["id"].combine_chunks())
        return to_numpy(table()["embedding"].take(place))

    return vectors


def undo(run: Run, by: str = "") -> Version:
    """Go back behind a run's current version and return it; answers that only it considered are withdrawn.

    Answers that wait behind it keep waiting. Where it was carried, their numbers are translated to what then stands.

    Raises:
        UsageError: there is none.
    """
    decisions = Decisions.of(run.store)
    version = decisions.current(run.id)
    if version is None:
        raise UsageError(f"run {run.id} has no version to undo: what was computed stands")
    decisions.set_undone(run.id, version.number, True, by)
    return version


def redo(run: Run) -> Version:
    """Go forward again to the version that was undone last and return it.

    Raises:
        UsageError: none was undone, or another version was made since.
    """
    decisions = Decisions.of(run.store)
    versions = decisions.versions(run.id)
    stands = current(versions)
    after = [version for version in versions if version.undone and version.parent == (stands.number if stands else 0)]
    if not after:
        raise UsageError(f"run {run.id} has no version to go forward to: none was undone, or a newer one was made since")
    decisions.set_undone(run.id, after[-1].number, False)
    return after[-1]


def user() -> str:
    """Return the name of whoever runs this process; empty where the system knows none, as in some containers."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
