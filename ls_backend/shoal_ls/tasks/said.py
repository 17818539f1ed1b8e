"""What a run says about its clusters, as arrays: read once, so that 10,000 tasks are made in seconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from shoal.catalogue import Run
from shoal.decisions.standing import base_of
from shoal.errors import UsageError
from shoal.records import clustering, labelling
from shoal.sources import name_of
from shoal.vectors import to_numpy
from shoal_ls.tasks.markup import shown_label
from shoal_ls.tasks.sampling import Sample, sample

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Said:
    """The clusters of a run.

    Attributes:
        ids: of the images, sorted.
        names: of their files.
        cluster: of each image; -1 is noise. Shape (n,).
        vectors: that the clusters were made of. Shape (n, d).
        labels: as a model or a person wrote them, by cluster: hostile text.
        twins: clusters that a labeller first gave the name of another.
    """

    ids: list[str]
    names: list[str]
    cluster: "NDArray[np.int64]"
    vectors: "NDArray[np.float32]"
    labels: Mapping[int, str]
    twins: frozenset[int] = frozenset()

    @cached_property
    def rows(self) -> dict[str, int]:
        """Place of each image by its id."""
        return {image: row for row, image in enumerate(self.ids)}

    @cached_property
    def numbers(self) -> "NDArray[np.int64]":
        """Numbers of the clusters, rising. Shape (k,)."""
        found = np.unique(self.cluster)
        return found[found >= 0]

    @cached_property
    def members(self) -> dict[int, "NDArray[np.int64]"]:
        """Rows of each cluster's images, by rising doubt, then distance to the centroid."""
        place = self.place
        order = np.lexsort((self._distances[0], self.doubt, self.cluster)).astype(np.int64)
        order = order[self.cluster[order] >= 0]
        starts = np.searchsorted(place[order], np.arange(len(self.numbers) + 1))
        return {int(number): order[starts[k] : starts[k + 1]] for k, number in enumerate(self.numbers)}

    @cached_property
    def samples(self) -> dict[int, Sample]:
        """The members of each cluster that are shown."""
        return {
            number: sample(rows.tolist(), self.doubt[rows].tolist(), self.distance[rows].tolist())
            for number, rows in self.members.items()
        }

    @cached_property
    def place(self) -> "NDArray[np.int64]":
        """Where each image's cluster is among `numbers`; of noise any."""
        return np.searchsorted(self.numbers, self.cluster).astype(np.int64)

    @cached_property
    def centroids(self) -> "NDArray[np.float64]":
        """Means of the clusters' vectors. Shape (k, d)."""
        own = self.cluster >= 0
        sums = np.zeros((len(self.numbers), self.vectors.shape[1]))
        np.add.at(sums, self.place[own], self.vectors[own])
        sizes = np.bincount(self.place[own], minlength=len(self.numbers))
        return np.asarray(sums / np.maximum(sizes, 1)[:, None])

    @cached_property
    def doubt(self) -> "NDArray[np.float64]":
        """How little an image's own centroid is nearer than the next one: 0 sure, 1 not nearer. Noise is 1. Shape (n,).

        One minus the simplified silhouette, cut at 1. Source: Hruschka, Campello, de Castro, "Evolving clusters in gene-
        expression data" (2006).
        """
        own, other = self._distances
        with np.errstate(invalid="ignore", divide="ignore"):
            silhouette = np.where(other > 0, (other - own) / np.maximum(own, other), 0.0)
        silhouette = np.where(np.isinf(other), 1.0, silhouette)  # the only cluster
        return np.where(self.cluster < 0, 1.0, 1.0 - np.clip(silhouette, 0.0, 1.0))

    @cached_property
    def distance(self) -> "NDArray[np.float64]":
        """Distance of each image to its own centroid; noise 0. Shape (n,)."""
        return self._distances[0]

    @cached_property
    def _distances(self) -> tuple["NDArray[np.float64]", "NDArray[np.float64]"]:
        """Distances to the own centroid and to the nearest other one; infinite where there is none."""
        count = len(self.ids)
        own, other = np.zeros(count), np.full(count, np.inf)  # infinite: there is no other cluster
        if not len(self.numbers):
            return own, other
        mine = self.cluster >= 0
        own[mine] = np.linalg.norm(self.vectors[mine] - self.centroids[self.place[mine]], axis=1)
        if len(self.numbers) > 1:
            distances, places = self._nearest(self.vectors, 2)
            first_is_mine = mine & (places[:, 0] == self.place)
            return own, np.where(first_is_mine, distances[:, 1], distances[:, 0])
        return own, other

    def near(self, rows: "NDArray[np.int64]", most: int) -> list[list[tuple[int, float]]]:
        """Return the clusters nearest to some images: number and likeness, 1 at the centroid, falling with distance.

        Args:
            rows: places of the images.
            most: clusters for each.
        """
        return self._likest(self.vectors[rows], most)

    @cached_property
    def neighbours(self) -> dict[int, list[int]]:
        """The clusters nearest to each cluster by centroid, the nearest first; at most 12."""
        found = self._likest(self.centroids, 13)
        return {int(n): [c for c, _ in near if c != n][:12] for n, near in zip(self.numbers, found, strict=True)}

    def _likest(self, vectors: "NDArray[Any]", most: int) -> list[list[tuple[int, float]]]:
        if not len(self.numbers) or not len(vectors):
            return [[] for _ in vectors]
        distances, places = self._nearest(vectors, most)
        typical = float(np.median(self._distances[0][self.cluster >= 0])) or 1.0
        likeness = 1.0 / (1.0 + distances / typical)
        return [
            [(int(self.numbers[p]), float(s)) for p, s in zip(ps, ss, strict=True)]
            for ps, ss in zip(places, likeness, strict=True)
        ]

    def _nearest(self, vectors: "NDArray[Any]", most: int) -> tuple["NDArray[np.float64]", "NDArray[np.int64]"]:
        """Return distances and places of the nearest centroids; a tree in few dimensions, so that it is not quadratic."""
        from sklearn.neighbors import NearestNeighbors

        index = NearestNeighbors(n_neighbors=min(most, len(self.numbers))).fit(self.centroids)
        distances, places = index.kneighbors(vectors)
        return distances, places

    def label(self, cluster: int) -> str:
        """Return a cluster's name for people, as plain text."""
        return shown_label(self.labels.get(cluster), cluster)


def asked_about(run: Run) -> Run:
    """Return the run at the version that answers are applied to: the last one that was carried, else what was computed."""
    start = base_of(run.versions)
    return run.look(start.number if start else 0)


def read(run: Run) -> Said:
    """Read what a run says about its clusters.

    Args:
        run: at the version that is asked about.

    Raises:
        UsageError: it has no clusters.
    """
    name, named = clustering(run.record), labelling(run.record)
    made = run.record.step(name) if name else None
    if made is None:
        raise UsageError(f"run {run.id} has no clusters to review; run a pipeline with a `cluster` step")
    rows = run.joined(["path", "cluster", f"{made.sources['embedding']}.embedding"])
    rows = rows.rename_columns(["id", "path", "cluster", "embedding"])
    rows = rows.filter(pa.compute.is_valid(rows["cluster"]))
    labels = run.version_table("label") if run.version else run.table(named) if named else None
    table = labels.to_pylist() if labels is not None else []
    twins = {row["cluster"] for row in table if row.get("first_label") and row["first_label"] != row["label"]}
    return Said(
        ids=rows["id"].to_pylist(),
        names=[name_of(path) for path in rows["path"].to_pylist()],
        cluster=rows["cluster"].to_numpy().astype(np.int64),
        vectors=to_numpy(rows["embedding"]),
        labels={row["cluster"]: row["label"] or "" for row in table},
        twins=frozenset(twins),
    )
