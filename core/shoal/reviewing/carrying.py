"""What becomes of a new clustering when an older one's numbers, names and decisions are carried to it. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from shoal.decisions import NOISE
from shoal.decisions.numbering import Flows, flows
from shoal.reviewing.apply import CLUSTERS
from shoal.reviewing.labels import BY
from shoal.reviewing.matching import Match
from shoal.reviewing.naming import distinct
from shoal.reviewing.splitting import Vectors, split


@dataclass(frozen=True)
class Lost:
    """What could not be carried.

    Attributes:
        subject: `image:<id>` or `cluster:3`, by its old number.
        why: one sentence.
        label: of the old cluster, or of the one that the image was in.
        what: the decision about the image; of a cluster `rename` where somebody named it; else empty.
        by, at: who decided it, and when; the day on which a cluster was named stands in `why`.
    """

    subject: str
    why: str
    label: str = ""
    what: str = ""
    by: str = ""
    at: str = ""


@dataclass(frozen=True)
class Old:
    """The run that is carried from, as people left it.

    Attributes:
        clusters: `CLUSTERS`.
        labels: `LABELS` and more.
        highest: the highest number that a cluster of it ever had.
    """

    clusters: pa.Table
    labels: pa.Table
    highest: int


@dataclass(frozen=True)
class Carried:
    """What becomes of the new clustering.

    Attributes:
        clusters, labels: its tables, in old numbers.
        lost: what could not be carried.
        summary: counts by kind of decision that was carried.
        highest: the highest number given so far.
    """

    clusters: pa.Table
    labels: pa.Table
    lost: tuple[Lost, ...]
    summary: dict[str, int]
    highest: int


@dataclass
class _Work:
    old: Old
    mapping: dict[int, int]  # computed cluster -> number
    went: Flows
    alive: set[int]
    names: dict[int, str]
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)


def carry_over(old: Old, new: Mapping[str, int], labels: pa.Table, matches: Sequence[Match], vectors: Vectors) -> Carried:
    """Give a new clustering the old numbers and names, and repeat what people decided.

    A matched cluster gets its number; others get fresh ones, which no cluster ever had. An image that somebody spoke of goes
    where it was put, if that cluster is there; one that nobody spoke of goes where its cluster went (merged, or split: then,
    for images that are new, with the half that it is nearer to).

    Args:
        old: the run that is carried from.
        new: computed cluster by image, as the new run numbers them.
        labels: the new run's labels.
        matches: which of its clusters are old ones.
        vectors: gives the vectors of images of the new run.
    """
    sizes = Counter(cluster for cluster in new.values() if cluster != NOISE)
    mapping = {NOISE: NOISE, **{pair.new: pair.old for pair in matches}}
    fresh = sorted((cluster for cluster in sizes if cluster not in mapping), key=lambda cluster: (-sizes[cluster], cluster))
    mapping |= {cluster: old.highest + 1 + place for place, cluster in enumerate(fresh)}
    went = flows(old.clusters)
    alive = {NOISE, *mapping.values()} | {end for number in mapping.values() for end in went.get(number, ())}
    names = {row["cluster"]: row["label"] or "" for row in old.labels.to_pylist()}
    work = _Work(old, mapping, went, alive, names)
    for image, cluster in sorted(new.items()):
        work.rows[image] = {"id": image, "cluster": mapping[cluster], "before": mapping[cluster]}
    _gone(work)
    _repeat(work)
    _follow(work, vectors)
    table = pa.Table.from_pylist(list(work.rows.values()), schema=CLUSTERS)
    summary = Counter(row["decided"] for row in work.rows.values() if row.get("decided"))
    return Carried(table, _labels(work, labels), tuple(work.lost), dict(sorted(summary.items())), old.highest + len(fresh))


def _gone(work: _Work) -> None:
    """List the old clusters that no new one is like."""
    told = {row["cluster"]: row for row in work.old.labels.to_pylist()}
    for number in sorted({*work.old.clusters["cluster"].to_pylist()} - work.alive):
        by = told.get(number, {}).get(BY.name) or ""
        reason = told[number]["reason"] if by else None
        why = "; ".join(filter(None, ["no cluster of the new run has enough of its images", reason]))
        work.lost.append(Lost(f"cluster:{number}", why, work.names.get(number, ""), "rename" if by else "", by))


def _repeat(work: _Work) -> None:
    """Put images that people spoke of where they were put."""
    for said in work.old.clusters.to_pylist():
        row = work.rows.get(said["id"])
        if said["decided"] is None:
            continue
        if row is None:
            why = "the image is not in the new run"
        elif said["cluster"] not in work.alive:
            why = f"cluster {said['cluster']} was not carried"
        elif said["decided"] == "reject" and row["before"] != NOISE:
            why = f"the image is no noise any more, but in cluster {row['before']}"
        else:
            # The new run put it elsewhere: it did not stay with its cluster, it was brought back.
            pulled = said["decided"] == "keep" and row["before"] not in (said["before"], said["cluster"])
            decided = "move" if pulled else said["decided"]
            row |= {"cluster": said["cluster"], "decided": decided, "by": said["by"], "at": said["at"]}
            continue
        told = {"what": said["decided"], "by": said["by"] or "", "at": said["at"] or ""}
        work.lost.append(Lost(f"image:{said['id']}", why, work.names.get(said["cluster"], ""), **told))


def _follow(work: _Work, vectors: Vectors) -> None:
    """Send the images that nobody spoke of after their cluster: to where it was merged, or to a part that was split off."""
    where = dict(zip(*(work.old.clusters[name].to_pylist() for name in ("id", "cluster")), strict=True))
    before = dict(zip(*(work.old.clusters[name].to_pylist() for name in ("id", "before")), strict=True))
    groups: dict[int, list[dict[str, Any]]] = {}
    for row in work.rows.values():
        if row["before"] != NOISE and not row.get("decided"):
            groups.setdefault(row["before"], []).append(row)
    for number, ours in groups.items():
        parts = work.went.get(number, {})
        for row in ours:
            if before.get(row["id"]) == number and where[row["id"]] in parts:
                row["cluster"] = where[row["id"]]
        strangers = [row["id"] for row in ours if before.get(row["id"]) != number]
        if len(parts) == 1:
            for image in strangers:
                work.rows[image]["cluster"] = next(iter(parts))
        elif parts and strangers:
            _divide(work, number, parts, strangers, vectors)


def _divide(
    work: _Work, number: int, parts: Mapping[int, Sequence[str]], strangers: Sequence[str], vectors: Vectors
) -> None:
    """Send images to the part of a split cluster whose members they are nearer to."""
    here = {part: [image for image in images if image in work.rows] for part, images in parts.items()}
    here = {part: images for part, images in here.items() if images}
    if not here:
        return
    first = number if number in here else next(iter(here))
    examples = {str(part): images for part, images in here.items() if part != first}
    members = [*strangers, *(image for images in here.values() for image in images)]
    leaving = split(members, examples, here[first], vectors) if examples else {}
    for image in strangers:
        work.rows[image]["cluster"] = int(leaving.get(image, first))


def _labels(work: _Work, labels: pa.Table) -> pa.Table:
    """Return a row a cluster: old ones with their old label and reason, fresh ones with what the new run says."""
    told = {row["cluster"]: row for row in work.old.labels.to_pylist()}
    new = {work.mapping[row["cluster"]]: row for row in labels.to_pylist() if row["cluster"] in work.mapping}
    schema = labels.schema if BY.name in labels.schema.names else labels.schema.append(BY)
    schema = pa.schema([field.with_nullable(field.name != "cluster") for field in schema])  # fresh clusters lack some
    rows = {}
    for cluster in sorted({row["cluster"] for row in work.rows.values()} - {NOISE}):
        row = {**dict.fromkeys(schema.names), **new.get(cluster, {})}
        if cluster in told:
            row |= {name: None for name in row if name.startswith("first_")}
            row |= {name: told[cluster].get(name) for name in ("label", "reason", BY.name)}
        rows[cluster] = {**row, "cluster": cluster}
    names = distinct({cluster: row["label"] for cluster, row in rows.items()}, [c for c in rows if c in told])
    return pa.Table.from_pylist([{**row, "label": names[cluster]} for cluster, row in rows.items()], schema=schema)
