"""Applies what answers come to: clusters and labels before, clusters and labels after."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from shoal.decisions import Conflict, Said, Unsettled
from shoal.decisions.asking import Place, parent
from shoal.decisions.numbering import STAYED
from shoal.decisions.resolve import Placed, Resolution, Verdict, place
from shoal.reviewing.labels import Naming, label_table
from shoal.reviewing.splitting import Vectors, split

CLUSTERS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("cluster", pa.int32(), nullable=False),
        pa.field("before", pa.int32(), nullable=False),  # before the review
        pa.field("decided", pa.string()),  # kind of the change that put it here, `keep` included; null: nobody spoke of it
        pa.field("by", pa.string()),  # who said so
        pa.field("at", pa.string()),  # when
    ]
)
"""A row an image, as `runs/RUN/reviews/N/clusters.parquet` holds it."""


@dataclass(frozen=True)
class Base:
    """What answers are applied to.

    Attributes:
        clusters: `id` and `cluster`, sorted by id; of a version that was carried all of `CLUSTERS`, which stays for images
            that no answer speaks of.
        labels: `cluster`, `label`, `reason`, and what else a labeller says; no row where nothing names clusters.
        numbers: known numbers of clusters that splits made.
        highest: the highest number that a cluster of the run ever had; -1 without.
    """

    clusters: pa.Table
    labels: pa.Table
    numbers: Mapping[str, int] = field(default_factory=dict)
    highest: int = -1


@dataclass(frozen=True)
class Reviewed:
    """What becomes of it.

    Attributes:
        clusters: of `CLUSTERS`.
        labels: the columns of the base's labels, and `by`: who named it.
        numbers: of the clusters that splits made, those known before included.
        conflicts, unsettled: what is not applied.
        summary: counts by kind of change.
        highest: the highest number that a cluster ever had, those that splits made now included.
    """

    clusters: pa.Table
    labels: pa.Table
    numbers: dict[str, int]
    conflicts: tuple[Conflict, ...]
    unsettled: tuple[Unsettled, ...]
    summary: dict[str, int]
    highest: int


@dataclass
class _Work:
    """The clusters under way."""

    base: Base
    settled: Resolution
    where: dict[str, int]
    numbers: dict[str, int]
    why: dict[str, Verdict] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    unsettled: list[Unsettled] = field(default_factory=list)
    summary: Counter[str] = field(default_factory=Counter)
    split: dict[int, int] = field(default_factory=dict)  # new cluster -> the one that it was split off from


def apply(base: Base, settled: Resolution, vectors: Vectors) -> Reviewed:
    """Return the clusters and labels after a review.

    Splits come first, then images are put where people want them, then clusters are merged: what goes into a cluster that is
    merged goes along. Names come last.
    """
    clusters = dict(zip(base.clusters["id"].to_pylist(), base.clusters["cluster"].to_pylist(), strict=True))
    work = _Work(base, settled, clusters, dict(base.numbers))
    _split(work, vectors)
    merges = _merges(work)
    _place(work, merges)
    for image, cluster in work.where.items():
        work.where[image] = merges.get(cluster, cluster)
    naming = _names(work, merges)
    labels = label_table(base.labels, sorted(set(work.where.values()) - {-1}), naming)
    table = _table(work)
    summary = {kind: number for kind, number in sorted(work.summary.items()) if number}
    return Reviewed(
        table, labels, work.numbers, (*settled.conflicts, *work.conflicts),
        (*settled.unsettled, *work.unsettled), summary,
        max([base.highest, *work.numbers.values()]),
    )  # fmt: skip


def _split(work: _Work, vectors: Vectors) -> None:
    """Split clusters, those that come out of a split after it."""
    waiting = dict(sorted(work.settled.splits.items()))
    while ready := [cluster for cluster in waiting if cluster in _known(work)]:
        for cluster in ready:
            _split_one(work, cluster, waiting.pop(cluster), vectors)
    for cluster in waiting:
        work.unsettled.append(_gone(f"cluster:{cluster}", cluster, ()))


def _split_one(work: _Work, cluster: int, origins: tuple[str, ...], vectors: Vectors) -> None:
    """Split off new clusters; images that a task of this cluster sends elsewhere are no examples of either side."""
    members = [image for image, at in work.where.items() if at == cluster]
    examples: dict[str, list[str]] = {new: [] for new in origins}
    stays, elsewhere = [], []
    for image in members:
        for verdict in work.settled.images.get(image, ()):
            if verdict.seen_in == cluster or verdict.wish.goal in examples:
                if verdict.wish.goal in examples:
                    examples[str(verdict.wish.goal)].append(image)
                    work.why[image] = verdict
                elif verdict.wish.goal is None:
                    stays.append(image)
                else:
                    elsewhere.append(image)
    staying = [image for image in members if image not in set(elsewhere)]
    leaving = split(staying, examples, stays, vectors)
    for new in origins:
        number = work.numbers.setdefault(new, max([work.base.highest, *work.numbers.values()]) + 1)
        work.split[number] = cluster
    for image, new in leaving.items():
        work.where[image] = work.numbers[new]
    work.summary["split"] += len(origins)


def _known(work: _Work) -> set[int]:
    """Return the clusters that there are before merging, noise included."""
    before = {*work.base.clusters["cluster"].to_pylist(), *work.base.labels["cluster"].to_pylist()}
    return before | set(work.split) | {-1}


def _merges(work: _Work) -> dict[int, int]:
    """Return the merges of clusters that there are."""
    known, found = _known(work), {}
    for cluster, end in work.settled.merges.items():
        lost = next((number for number in (cluster, end) if number not in known), None)
        if lost is None:
            found[cluster] = end
        else:
            work.unsettled.append(_gone(f"cluster:{cluster}", lost, (work.settled.merged[cluster].said,)))
    work.summary["merge"] += len(found)
    return found


def _gone(subject: str, cluster: Place, told: tuple[Said, ...]) -> Unsettled:
    name = f"cluster {cluster}" if isinstance(cluster, int) else f"the cluster split off from cluster {parent(cluster)}"
    return Unsettled(subject=subject, why=f"{name} is not there", said=told)


def _place(work: _Work, merges: Mapping[int, int]) -> None:
    """Put every image where the tasks that speak of it want it."""
    known = _known(work)
    made = {work.numbers[new]: new for new in work.numbers if work.numbers[new] in work.split}
    numbers = {new: number for number, new in made.items()}

    def number(where: Place) -> int:
        return where if isinstance(where, int) else numbers[where]

    def same(one: int, other: int) -> bool:
        return merges.get(one, one) == merges.get(other, other)

    for image, verdicts in sorted(work.settled.images.items()):
        if image not in work.where:
            told = tuple(verdict.said for verdict in verdicts)
            work.unsettled.append(Unsettled(subject=f"image:{image}", why="the image is not in the run", said=told))
            continue
        there = [v for v in verdicts if v.wish.goal is None or v.wish.goal in known or v.wish.goal in numbers]
        work.unsettled += [_gone(f"image:{image}", v.goal, (v.said,)) for v in verdicts if v not in there]
        _place_one(work, image, place(work.where[image], _after_split(work, image, there), number, same))


def _after_split(work: _Work, image: str, verdicts: list[Verdict]) -> list[Verdict]:
    """Leave out the verdict that made the image an example of a new cluster: it is there."""
    return [verdict for verdict in verdicts if verdict is not work.why.get(image)]


def _place_one(work: _Work, image: str, found: Placed) -> None:
    if found.excluded:
        work.conflicts.append(Conflict(subject=f"image:{image}", about="place", said=found.excluded))
    elif found.verdict is not None:
        work.where[image], work.why[image] = found.cluster, found.verdict


def _names(work: _Work, merges: Mapping[int, int]) -> Naming:
    """Return what people call the clusters, and which were split and merged."""
    known = _known(work)
    names: dict[int, Verdict] = {}
    # Who renames a new cluster saw the name that the split gave it, so these come last.
    for subject, verdict in sorted(work.settled.names.items(), key=lambda item: isinstance(item[0], int)):
        cluster = subject if isinstance(subject, int) else work.numbers.get(subject, -1)
        told, named = (verdict.said,), str(subject) if isinstance(subject, str) else f"cluster:{subject}"
        if cluster not in known or cluster < 0:
            work.unsettled.append(_gone(named, subject, told))
        elif cluster in merges:
            into = f"cluster {cluster} was merged into cluster {merges[cluster]} and keeps no name"
            work.unsettled.append(Unsettled(subject=named, why=into, said=told))
        else:
            names[cluster] = verdict
            work.summary["rename"] += isinstance(subject, int)
    merged: dict[int, list[tuple[int, Verdict]]] = defaultdict(list)
    for cluster, end in sorted(merges.items()):
        merged[end].append((cluster, work.settled.merged[cluster]))
    return Naming(names, work.split, {end: tuple(found) for end, found in merged.items()})


def _table(work: _Work) -> pa.Table:
    rows = []
    for row in work.base.clusters.to_pylist():
        verdict = work.why.get(row["id"])
        if verdict is not None and verdict.wish.goal is None and row.get("decided") not in STAYED:
            verdict = None  # who leaves an image where it was put confirms that decision, and replaces none
        if verdict is not None and verdict.wish.kind != "split":  # counted by new cluster
            work.summary[verdict.wish.kind] += 1
        told = {"decided": verdict.wish.kind, "by": verdict.said.who, "at": verdict.said.at} if verdict else {}
        rows.append({"before": row["cluster"], **row, "cluster": work.where[row["id"]], **told})
    return pa.Table.from_pylist(rows, schema=CLUSTERS)
