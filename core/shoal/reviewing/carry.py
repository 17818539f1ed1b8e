"""Carries numbers, names and decisions of an earlier run to a newer one of the same images and more."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from shoal.catalogue import Run, runs
from shoal.decisions import NOISE, Decisions, Version, now
from shoal.decisions.standing import base_of, current
from shoal.errors import StoreError, UsageError
from shoal.reviewing.apply import CLUSTERS
from shoal.reviewing.bases import computed
from shoal.reviewing.carrying import Carried, Lost, Old, carry_over
from shoal.reviewing.matching import OVERLAP, Match, match
from shoal.reviewing.versions import digest_of, keep, next_number, people, vectors_of

NOTES = "carried.json"
"""File of a carried version: from which run, which clusters were matched, and what could not be carried."""


@dataclass(frozen=True)
class Carry:
    """What was carried.

    Attributes:
        version: of the newer run.
        source: name of the run that it was carried from.
        matches: which clusters were found again.
        fresh: number of clusters that were not there before.
        lost: what could not be carried.
    """

    version: Version
    source: str
    matches: tuple[Match, ...]
    fresh: int
    lost: tuple[Lost, ...]


def candidate(run: Run) -> Run | None:
    """Return the newest earlier run of the same pipeline's name that people reviewed and that can be carried to a run.

    None where there is none, or where this run was carried to already.
    """
    if base_of(run.versions) is not None or Decisions.found(run.store) is None:
        return None
    for record in reversed(runs(run.store)):
        if record.started < run.record.started and record.pipeline == run.record.pipeline:
            found = Run(run.store, record, run.host)
            if found.version is not None:
                return found
    return None


def carry(run: Run, source: Run | None = None, by: str = "", least: float = OVERLAP) -> Carry:
    """Make a version of a run that has an earlier run's numbers, names and decisions.

    Answers about the run itself wait then: they are translated to the new numbers when they are applied.

    Args:
        run: that has clusters, and that nothing was carried to yet.
        source: the earlier run; None takes `candidate`.
        by: who asks for it.
        least: least overlap of two clusters to be one, 0 to 1: shared images by images of either.

    Raises:
        UsageError: there is no such earlier run, or this one was carried to already.
    """
    decisions = Decisions.of(run.store)
    versions = decisions.versions(run.id)
    start = base_of(versions)
    if start is not None:
        raise UsageError(
            f"run {run.id} was carried from run {start.came_from} already; "
            f"`shoal review undo` until version {start.number} is undone, then carry again"
        )
    source = source or candidate(run)
    if source is None:
        raise UsageError(
            f"no earlier run of pipeline {run.record.pipeline} was reviewed; --from names another of those of `shoal runs`"
        )
    if source.id == run.id:
        raise UsageError(f"run {run.id} can't be carried to itself; --from names an earlier run")
    clusters, labels = computed(run)
    new = dict(zip(clusters["id"].to_pylist(), clusters["cluster"].to_pylist(), strict=True))
    old = as_left(source)
    before = dict(zip(old.clusters["id"].to_pylist(), old.clusters["before"].to_pylist(), strict=True))
    matches = match(new, before, least)
    done = carry_over(old, new, labels, matches, vectors_of(run))
    stands = current(versions)
    version = _write(run, decisions, source, done, matches, by, least, stands.number if stands else 0)
    return Carry(version, source.id, tuple(matches), len({*new.values()} - {NOISE}) - len(matches), done.lost)


def as_left(run: Run) -> Old:
    """Return a run's clusters and labels as people left them."""
    if run.version is not None:
        clusters, labels = run.version_table("cluster"), run.version_table("label")
    else:
        found, labels = computed(run)
        nobody = {name: pa.nulls(found.num_rows, pa.string()) for name in ("decided", "by", "at")}
        columns = {"id": found["id"], "cluster": found["cluster"], "before": found["cluster"], **nobody}
        clusters = pa.table(columns).cast(CLUSTERS)
    told = [*clusters["cluster"].to_pylist(), *clusters["before"].to_pylist()]
    return Old(clusters, labels, max([-1, *(version.highest for version in run.versions), *told]))


def _write(
    run: Run, decisions: Decisions, source: Run, done: Carried, matches: Sequence[Match], by: str, least: float, parent: int
) -> Version:
    digest = digest_of(done.clusters, done.labels)
    version = Version(
        run=run.id, number=next_number(run.versions), kind="carried", made=now(), by=by, summary=done.summary,
        came_from=source.id, people=people(done.clusters["by"].to_pylist()), digest=digest, highest=done.highest,
        parent=parent,
    )  # fmt: skip
    notes = {"from": source.id, "least": least}
    notes |= {"matches": [asdict(pair) for pair in matches], "lost": [asdict(lost) for lost in done.lost]}
    (run.folder / version.folder).write_json(NOTES, notes)
    if not keep(run, decisions, version, done.clusters, done.labels):
        raise StoreError(f"somebody else made version {version.number} of run {run.id} just now; look at it first")
    return version


def lost(run: Run) -> list[Lost]:
    """Return what could not be carried to the version that the answers about a run are applied to."""
    start = base_of(run.versions)
    if start is None:
        return []
    return [Lost(**row) for row in (run.folder / start.folder).read_json(NOTES)["lost"]]
