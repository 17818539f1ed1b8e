"""Centroids and silhouettes of clusters by the cosine, by sums: no pair of images is compared."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from shoal_plugins.reduce._matrix import blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal_plugins.reduce._matrix import Matrix

    Floats = NDArray[np.float64]

CELLS = 2**22
"""Cells of a matrix against all clusters that are held at once: 32 MiB."""

ROUNDING = 1e-6
"""Cosine distances below this are rounding errors of float32 vectors: the images are the same."""


@dataclass(frozen=True)
class Sums:
    """What is kept of the clusters.

    Attributes:
        sums: of the members' unit vectors, shape (clusters, size).
        sizes: members of each.
    """

    sums: "Floats"
    sizes: "NDArray[np.int64]"

    @classmethod
    def of(cls, points: "Matrix", labels: "NDArray[np.int32]", clusters: int) -> "Sums":
        """Return the sums of the clusters 0, 1, ... of unit vectors; rows below 0 are noise."""
        order = np.argsort(labels, kind="stable")
        order = order[labels[order] >= 0]
        sums = np.zeros((clusters, points.shape[1]))
        for part in blocks(len(order)):
            rows = order[part]
            first = np.flatnonzero(np.diff(labels[rows], prepend=-1))
            sums[labels[rows[first]]] += np.add.reduceat(points[rows].astype(np.float64), first, axis=0)
        return cls(sums, np.bincount(labels[labels >= 0], minlength=clusters))

    @property
    def centroids(self) -> "Floats":
        """Directions of the centroids: rows of length 1; one whose members cancel out stays 0."""
        norms = np.linalg.norm(self.sums, axis=1, keepdims=True)
        return np.asarray(self.sums / np.where(norms > ROUNDING, norms, np.inf))


def at_once(clusters: int) -> int:
    """Return how many rows are held against all clusters at once."""
    return max(1, min(1024, CELLS // max(1, clusters)))


def cosine_rows(centroids: "Floats") -> "Iterator[tuple[slice, Floats]]":
    """Yield the matrix of cosines between centroids by blocks of rows, the diagonal 1."""
    for part in blocks(len(centroids), at_once(len(centroids))):
        found = np.clip(centroids[part] @ centroids.T, -1, 1)
        found[np.arange(part.stop - part.start), np.arange(part.start, part.stop)] = 1
        yield part, found


def nearest(centroids: "Floats") -> "tuple[NDArray[np.int64], Floats]":
    """Return for each of two or more centroids the nearest other one and its cosine; ties go to the larger cluster."""
    best, cosine = np.empty(len(centroids), dtype=np.int64), np.empty(len(centroids))
    for part, found in cosine_rows(centroids):
        here = np.arange(part.stop - part.start)
        found[here, np.arange(part.start, part.stop)] = -np.inf
        best[part] = found.argmax(axis=1)
        cosine[part] = found[here, best[part]]
    return best, cosine


def silhouettes(points: "Matrix", labels: "NDArray[np.int32]", sums: Sums) -> "Floats":
    """Return the silhouette by the cosine distance (1 minus the cosine) of each of the rows, -1 to 1.

    The mean cosine distance to a cluster is 1 minus the product with the mean of its members, so sums of clusters suffice.
    An image alone in its cluster has 0, as has one whose distances are all 0. Source: P. Rousseeuw, 1987.

    Args:
        points: unit vectors of images in clusters, shape (n, size).
        labels: their clusters; there are two at least.
        sums: of all members of each cluster.
    """
    values = np.zeros(len(points))
    for part in blocks(len(points), at_once(len(sums.sizes))):
        rows = points[part].astype(np.float64)
        own, here = labels[part], np.arange(part.stop - part.start)
        products = rows @ sums.sums.T
        others = np.maximum(sums.sizes[own] - 1, 1)
        # Of the sum of distances to its own cluster, that to itself is 0, also for a zero vector.
        squares = np.einsum("ij,ij->i", rows, rows)
        inside = ((sums.sizes[own] - 1) - (products[here, own] - squares)) / others
        apart = 1 - products / sums.sizes
        apart[here, own] = np.inf
        outside = apart.min(axis=1)
        largest = np.maximum(inside, outside)
        good = (sums.sizes[own] > 1) & (largest > ROUNDING)
        values[part] = np.where(good, (outside - inside) / np.where(good, largest, 1), 0)
    return np.clip(values, -1, 1)
