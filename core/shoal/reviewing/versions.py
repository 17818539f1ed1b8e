"""Versions of a run: made of the answers that count, gone back behind, gone forward to again."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from shoal.catalogue import REVIEWED, Run
from shoal.decisions import Answer, Conflict, Decisions, Policy, Unsettled, Version, now
from shoal.decisions.resolve import resolve
from shoal.errors import StoreError, UsageError
from shoal.records import clustering, labelling
from shoal.reviewing.apply import Base, Reviewed, apply
from shoal.reviewing.labels import LABELS
from shoal.reviewing.splitting import Vectors
from shoal.store.tables import content
from shoal.vectors import to_numpy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Revision = tuple[str, str, str]
"""(surface, key, at) of an answer."""

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
    the answers change nothing of the current version, none is made. A `Run` that is open stays at its version: `run.look()`.

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


def _make(run: Run, decisions: Decisions, policy: Policy, by: str) -> Made | None:
    """Make a version; None where somebody else made one of its number meanwhile."""
    versions = decisions.versions(run.id)
    told = counting(run.revisions, versions)
    done = outcome(run, versions, told, policy)
    start, stands = base_of(versions), current(versions)
    digest = digest_of(done.clusters, done.labels)
    made = Made(None, done.conflicts, done.unsettled)
    if digest == stands.digest if stands else not done.summary:
        return made
    version = Version(
        run=run.id, number=next_number(versions), made=now(), by=by, base=start.number if start else 0,
        answers=tuple(revision(answer) for answer in told), summary=done.summary, parent=stands.number if stands else 0,
        policy=policy, people=people(answer.who for answer in told), digest=digest, numbers=done.numbers,
        highest=done.highest,
    )  # fmt: skip
    return replace(made, version=version) if keep(run, decisions, version, done.clusters, done.labels) else None


def outcome(run: Run, versions: Sequence[Version], told: Iterable[Answer], policy: Policy) -> Reviewed:
    """Return what comes of answers about a run.

    Args:
        run: the run.
        versions: all that were made of it.
        told: the answers that count.
        policy: how answers of several people are settled.

    Raises:
        UsageError: the run has no clusters.
    """
    settled = resolve([answer for answer in told if not answer.deleted], policy)
    return apply(base(run, base_of(versions), versions), settled, vectors_of(run))


def people(names: Iterable[str | None]) -> tuple[str, ...]:
    """Return the names of people, each once, in order."""
    return tuple(sorted({name for name in names if name}))


def revision(answer: Answer) -> Revision:
    """Return what names a revision of an answer."""
    return answer.surface, answer.key, answer.at


def keep(run: Run, decisions: Decisions, version: Version, clusters: pa.Table, labels: pa.Table) -> bool:
    """Write a version's tables, then its row; False where somebody made or undid a version meanwhile."""
    folder = run.folder / version.folder
    folder.write_table(REVIEWED["cluster"], clusters)
    folder.write_table(REVIEWED["label"], labels)
    stands = decisions.current(run.id)
    if (stands.number if stands else 0) != version.parent:
        return False
    return decisions.add_version(version)


def next_number(versions: Iterable[Version]) -> int:
    """Return the number of the next version."""
    return max((version.number for version in versions), default=0) + 1


def digest_of(clusters: pa.Table, labels: pa.Table) -> str:
    """Return a hash of a version's tables."""
    return hashlib.sha256(f"{content(clusters)}{content(labels)}".encode()).hexdigest()


def current(versions: Iterable[Version]) -> Version | None:
    """Return the last version that is not undone."""
    return next((version for version in reversed(list(versions)) if not version.undone), None)


def base_of(versions: Iterable[Version]) -> Version | None:
    """Return the version that answers are applied to: the last one that was carried; None: what was computed."""
    return current(version for version in versions if version.kind == "carried")


def counting(revisions: Iterable[Answer], versions: Sequence[Version]) -> list[Answer]:
    """Return the revision of each answer that counts, those that take it back too.

    That is the newest one that was not withdrawn: an undone version withdraws the revisions that no other version holds.
    """
    gone = withdrawn(versions)
    newest: dict[tuple[str, str], Answer] = {}
    for answer in revisions:
        if revision(answer) not in gone:
            newest[answer.surface, answer.key] = answer
    return list(newest.values())


def withdrawn(versions: Iterable[Version]) -> set[Revision]:
    """Return the revisions that only undone versions hold."""
    held: set[Revision] = set()
    undone: set[Revision] = set()
    for version in versions:
        (undone if version.undone else held).update(version.answers)
    return undone - held


def base(run: Run, start: Version | None, versions: Sequence[Version]) -> Base:
    """Return what answers about a run are applied to.

    Args:
        run: the run.
        start: a version that was carried; None: what was computed.
        versions: all of the run: no number that a cluster of one of them had is given to another.

    Raises:
        UsageError: the run has no clusters.
    """
    begun = start.number if start else 0
    same = [version for version in versions if version.base == begun]
    numbers = {new: number for version in same for new, number in version.numbers.items()}
    if start is not None:
        seen = run.look(start.number)
        clusters, labels = seen.version_table("cluster"), seen.version_table("label")
    else:
        clusters, labels = computed(run)
    tops = [pc.max(table["cluster"]).as_py() for table in (clusters, labels) if table.num_rows]
    return Base(clusters, labels, numbers, max([-1, *(version.highest for version in versions), *tops]))


def computed(run: Run) -> tuple[pa.Table, pa.Table]:
    """Return the clusters (`id`, `cluster`) and the labels that a run computed.

    Raises:
        UsageError: it has no clusters.
    """
    step, named = clustering(run.record), labelling(run.record)
    if step is None or not run.done(step):
        raise UsageError(f"run {run.id} has no clusters to review; add a cluster step to its pipeline")
    clusters = run.joined([f"{step}.cluster"]).rename_columns(["id", "cluster"])
    clusters = clusters.filter(pc.is_valid(clusters["cluster"]))
    return clusters, run.table(named) if named else LABELS.empty_table()


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
    """Go back behind a run's current version and return it; answers that only it holds are withdrawn.

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
