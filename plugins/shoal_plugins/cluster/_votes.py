"""Clusters of a sample, brought to any other rows by votes of their neighbours among the sample."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal_plugins.cluster._labels import NOISE
from shoal_plugins.cluster._noise import means
from shoal_plugins.reduce._matrix import blocks
from shoal_plugins.reduce._neighbours import Search

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal_plugins.reduce._matrix import Matrix

ROUNDING = 1e-6
"""Share of the largest component by which a distance of float32 may be off: copies of an image have the same cluster."""


@dataclass(frozen=True)
class Clustered:
    """The sample, and the clusters that were found in it.

    Attributes:
        points: shape (m, size), float32, C-contiguous.
        labels: from 0, without a gap; noise is -1.
        strength: membership, 0 to 1.
    """

    points: "Matrix"
    labels: "NDArray[Any]"
    strength: "NDArray[Any]"


@dataclass(frozen=True)
class _Count:
    """How the neighbours of some rows voted.

    Attributes:
        winner: cluster with the most votes, or -1.
        strength: sum of the strengths of those who voted so, over the number of voters.
        own: distance to the `least`-th nearest of those who voted so; infinite where there are fewer.
        core: distance to the `least`-th nearest of all.
    """

    winner: "NDArray[Any]"
    strength: "NDArray[Any]"
    own: "Matrix"
    core: "Matrix"


class Votes:
    """Assigns rows to the clusters of a sample.

    Args:
        sample: points and their clusters.
        voters: neighbours that vote on a row; fewer than there are points.
        least: a row needs so many neighbours of its cluster within the cut-off.
        quantile: share of a cluster's own sampled members that lie within its cut-off.
    """

    def __init__(self, sample: Clustered, voters: int, least: int, quantile: float) -> None:
        """Measure how near the members of each cluster lie to one another."""
        self.sample, self.voters, self.least = sample, voters, least
        self._search = Search(sample.points)
        self._slack = ROUNDING * float(np.abs(sample.points).max(initial=0))
        count = self._among_themselves()
        members = [sample.labels == label for label in range(int(sample.labels.max(initial=NOISE)) + 1)]
        self.cutoffs = np.array([_cutoff(count.own[rows & (count.winner == sample.labels)], quantile) for rows in members])
        # By cluster, and last, where noise has its number, of the whole sample.
        self._typical = np.array([*(np.median(count.core[rows]) for rows in members), np.median(count.core)])
        self.outlier = self._outlier(sample.labels, count.core)
        self._centroids = means(sample.points.astype(np.float64), sample.labels) if members else None

    def assign(self, rows: "Matrix") -> "tuple[NDArray[Any], NDArray[Any], NDArray[Any]]":
        """Return labels, strengths (0 for noise) and outlier scores of any rows."""
        labels = np.empty(len(rows), dtype=np.int64)
        strength, outlier = np.empty(len(rows)), np.empty(len(rows))
        for part in blocks(len(rows), self._search.at_once):
            found, squares = self._search.squares(rows[part], self.voters)
            count = self._count(found, np.sqrt(squares))
            limit = np.append(self.cutoffs, -np.inf)[count.winner] + self._slack  # noise has no member
            labels[part] = np.where(count.own <= limit, count.winner, NOISE)
            strength[part] = np.where(labels[part] == NOISE, 0, count.strength)
            outlier[part] = self._outlier(count.winner, count.core)
        return labels, strength, outlier

    def nearest(self, rows: "Matrix") -> "NDArray[Any]":
        """Return the cluster of the nearest centroid (mean of sampled members) of any rows; -1 where there is no cluster."""
        if self._centroids is None:
            return np.full(len(rows), NOISE)
        half_squares = np.einsum("ij,ij->i", self._centroids, self._centroids) / 2
        return np.asarray(np.argmin(half_squares - rows.astype(np.float64) @ self._centroids.T, axis=1))

    def _among_themselves(self) -> _Count:
        """Return the votes on the sampled rows, each without its own."""
        m = len(self.sample.points)
        found, squares = np.empty((m, self.voters), dtype=np.intp), np.empty((m, self.voters), dtype=np.float32)
        for part in blocks(m, self._search.at_once):
            own = np.arange(part.start, part.stop)
            near, apart = self._search.squares(self.sample.points[part], self.voters + 1, own)
            found[part], squares[part] = near[:, 1:], apart[:, 1:]
        return self._count(found, np.sqrt(squares))

    def _count(self, found: "NDArray[np.intp]", apart: "Matrix") -> _Count:
        votes = self.sample.labels[found]
        each = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)
        rows = np.arange(len(votes))
        winner = votes[rows, each.argmax(axis=1)]  # among equals the cluster of the nearest
        for_it = votes == winner[:, None]
        reached = for_it.cumsum(axis=1) >= self.least
        own = np.where(reached.any(axis=1), apart[rows, reached.argmax(axis=1)], np.float32(np.inf))
        strength = (for_it * self.sample.strength[found]).mean(axis=1)
        return _Count(winner, strength, own, apart[:, self.least - 1])

    def _outlier(self, labels: "NDArray[Any]", core: "Matrix") -> "NDArray[Any]":
        """Return 1 - median core distance of the cluster / core distance of the row; 0 for the denser half."""
        typical = self._typical[labels]
        return np.where(core <= typical, 0, 1 - typical / np.maximum(core, np.finfo(np.float32).tiny))


def _cutoff(distances: "Matrix", quantile: float) -> float:
    """Return the distance within which that share lies; 0 where no member has enough neighbours of its own."""
    finite = distances[np.isfinite(distances)]
    return float(np.quantile(finite, quantile)) if len(finite) else 0.0
