"""What a run says about its images now, in memory: read once a version, asked thousands of times."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from shoal.catalogue import Run
from shoal.decisions import COMPUTED, NOISE
from shoal.errors import UsageError
from shoal.records import clustering, labelling, rescuing
from shoal.sources import is_local, parent, stat
from shoal.text import plain
from shoal_ls.learning import Head
from shoal_ls.model_version import model_version
from shoal_ls.service.neighbours import Near, Neighbours, learnt, vectors_of

LONGEST_LABEL = 200


@dataclass(frozen=True)
class Suggestion:
    """A cluster suggested for a noise image, and how like the two are (cosine)."""

    cluster: int
    score: float


@dataclass(frozen=True)
class Snapshot:
    """A version of a run.

    Attributes:
        run: that it was read from.
        version: `model_version` of predictions made from it.
        clusters: cluster by id of the image; -1 is noise.
        strengths: membership, 0 to 1, by id.
        labels: name by cluster.
        places: id by path or URI.
        suggestions: by id of the noise image.
        decided: ids of images whose cluster somebody confirmed or chose.
        head: learnt from decisions, where there is one that is good.
        ranks: what the head says of each image, by id.
        base: whose numbers of clusters these are.
    """

    run: Run
    version: str
    clusters: Mapping[str, int]
    strengths: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[int, str] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    suggestions: Mapping[str, Suggestion] = field(default_factory=dict)
    decided: frozenset[str] = frozenset()
    head: Head | None = None
    ranks: Mapping[str, tuple[Near, ...]] = field(default_factory=dict)
    base: str = COMPUTED

    @cached_property
    def neighbours(self) -> Neighbours:
        """The clusters as vectors, for images that the run has not seen; read on first use."""
        return Neighbours.of(self.run, self.clusters, self.head)

    @cached_property
    def root(self) -> str:
        """The folder or URI below which the run's images lie."""
        source = self.run.record.source
        return parent(source) if is_local(source) and stat(source).kind == "file" else source

    def image(self, reference: str) -> str | None:
        """Return the id of an image by its id, path or URI; None where the run does not know it.

        A file named by an id, such as a thumbnail, is that image whatever the place.
        """
        name = unquote(reference.partition("?")[0]).rpartition("/")[2].partition(".")[0]
        if name in self.clusters:
            return name
        return self.places.get(reference) or self.places.get(unquote(reference))

    def ranking(self, image: str) -> tuple[Near, ...]:
        """Return the clusters that an image of the run may be in, the likeliest first; nothing for other images.

        What somebody decided stands; else a head says it, where there is one; else it is the cluster that it is in.
        """
        cluster = self.clusters.get(image)
        own = () if cluster is None else (Near(cluster, self.strengths.get(image, 0.0)),)
        return own if image in self.decided else self.ranks.get(image, own)


def take(run: Run, head: Head | None = None) -> Snapshot:
    """Read what a run says now.

    Args:
        run: at its current version.
        head: that is current.

    Raises:
        UsageError: the run has no clusters.
    """
    if clustering(run.record) is None:
        raise UsageError(f"run {run.id} has no clusters to predict; serve one that has a `cluster` step")
    images, joined = run.images, run.joined(_columns(run))
    ids = joined["id"].to_pylist()
    clusters = [NOISE if cluster is None else cluster for cluster in joined["cluster"].to_pylist()]
    strengths = [strength or 0.0 for strength in joined["strength"].to_pylist()]
    labels = _labels(joined) if "label" in joined.column_names else {}
    places = {
        os.path.normpath(path) if is_local(path) else path: image
        for image, paths in zip(images["id"].to_pylist(), images["paths"].to_pylist(), strict=True)
        for path in paths
    }
    return Snapshot(
        run=run, version=model_version(run, head.version if head else ""), clusters=dict(zip(ids, clusters, strict=True)),
        strengths=dict(zip(ids, strengths, strict=True)), labels=labels, places=places, suggestions=_suggestions(run),
        decided=_decided(run), head=head, ranks=_ranks(run, ids, head), base=run.base,
    )  # fmt: skip


def _columns(run: Run) -> list[str]:
    return ["cluster", "strength", *(["label"] if labelling(run.record) or run.version else [])]


def _decided(run: Run) -> frozenset[str]:
    if run.version is None:
        return frozenset()
    reviewed = run.version_table("cluster")
    return frozenset(reviewed.filter(pc.is_valid(reviewed["decided"]))["id"].to_pylist())


def _ranks(run: Run, ids: Sequence[str], head: Head | None) -> dict[str, tuple[Near, ...]]:
    """Return what a head says of each image."""
    ranks: dict[str, tuple[Near, ...]] = {}
    if head is not None:
        for vectors, part in vectors_of(run, ids):
            ranks.update(zip(part, learnt(head, vectors), strict=True))
    return ranks


def _labels(joined: pa.Table) -> dict[int, str]:
    pairs = set(zip(joined["cluster"].to_pylist(), joined["label"].to_pylist(), strict=True))
    return {cluster: plain(label, LONGEST_LABEL) for cluster, label in pairs if label and cluster is not None}


def _suggestions(run: Run) -> dict[str, Suggestion]:
    step = rescuing(run.record)
    rows = run.table(step).select(["id", "suggested", "score"]).to_pylist() if step else []
    return {row["id"]: Suggestion(row["suggested"], row["score"] or 0.0) for row in rows if row["suggested"] is not None}
