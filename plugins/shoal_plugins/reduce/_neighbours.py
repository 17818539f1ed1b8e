"""Nearest neighbours: exact by blocks, approximate for sets where that takes too long."""

from typing import TYPE_CHECKING

import numpy as np

from shoal_plugins.reduce._matrix import blocks, unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal_plugins.reduce._matrix import Matrix

EXACT_ROWS = 100_000
"""Up to here every pair is compared: no compiling, no randomness, and faster than the approximate search on two cores."""

PAIRS_AT_ONCE = 2**23
SPARE = 4
GROUP = 64


def neighbours(vectors: "Matrix", k: int, metric: str, seed: int) -> "tuple[NDArray[np.int32], Matrix, str]":
    """Return the `k` nearest rows of each row (itself first), their distances, and how they were found.

    Args:
        vectors: shape (n, size), float32.
        k: neighbours of a row, itself counted; at most n.
        metric: `euclidean`, or `cosine` (1 minus the cosine of the angle).
        seed: for the approximate search over `EXACT_ROWS` rows.
    """
    if len(vectors) <= EXACT_ROWS:
        indices, distances = exact(vectors, k, metric)
        return indices, distances, "exact"
    indices, distances = _descent(vectors, k, metric, seed)
    return indices, distances, "pynndescent"


def exact(vectors: "Matrix", k: int, metric: str) -> "tuple[NDArray[np.int32], Matrix]":
    """Return the `k` nearest rows of each row and their distances by comparing every pair; ties go to the smaller row."""
    points = unit_rows(vectors) if metric == "cosine" else np.ascontiguousarray(vectors, dtype=np.float32)
    n = len(points)
    search = Search(points)
    indices, distances = np.empty((n, k), dtype=np.int32), np.empty((n, k), dtype=np.float32)
    for part in blocks(n, search.at_once):
        indices[part], squares = search.squares(points[part], k, own=np.arange(part.start, part.stop))
        distances[part] = squares / 2 if metric == "cosine" else np.sqrt(squares)
    return indices, distances


class Search:
    """Finds the nearest of some points by comparing every pair.

    Attributes:
        points: shape (n, size), float32, C-contiguous.
        at_once: queries that one call may hold, for memory's sake.
    """

    def __init__(self, points: "Matrix") -> None:
        """Lay the points out as the right side of a product."""
        n = len(points)
        padding = -n % GROUP
        half_squares = np.einsum("ij,ij->i", points, points) / 2
        right = np.hstack([-points, half_squares[:, None]])
        beyond = np.full((padding, right.shape[1]), [0] * points.shape[1] + [np.inf], dtype=np.float32)
        self.points = points
        self.at_once = max(1, PAIRS_AT_ONCE // max(1, n))
        self._right = np.vstack([right, beyond]).T
        self._buffer = np.empty((self.at_once, n + padding), dtype=np.float32)

    def squares(self, queries: "Matrix", k: int, own: "NDArray[np.intp] | None" = None) -> "tuple[NDArray[np.intp], Matrix]":
        """Return the `k` nearest points of each query and the squared distances; ties go to the earlier point.

        Args:
            queries: at most `at_once`.
            k: at most the number of points.
            own: the place of each query among the points, where they are some of them: it comes first then.
        """
        left = np.hstack([queries, np.ones((len(queries), 1), dtype=np.float32)])
        near = np.matmul(left, self._right, out=self._buffer[: len(left)])  # half the square, less a constant of the row
        if own is not None:
            near[np.arange(len(own)), own] = -np.inf
        found = np.sort(_smallest(near, min(len(self.points), k + SPARE)), axis=1)
        apart = queries[:, None, :] - self.points[found]  # the product above loses digits where points are close
        squares = np.einsum("ijk,ijk->ij", apart, apart)
        if own is not None:
            squares[found == own[:, None]] = -1
        order = np.argsort(squares, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(found, order, axis=1), np.maximum(np.take_along_axis(squares, order, axis=1), 0)


def _smallest(rows: "Matrix", count: int) -> "NDArray[np.intp]":
    """Return the columns of the `count` smallest values of each row, in any order.

    They lie in the `count` groups of columns with the smallest minima, so that only those are looked at.
    """
    groups = rows.shape[1] // GROUP
    if groups <= 2 * count:
        return _lowest(rows, count)
    best = _lowest(rows.reshape(len(rows), GROUP, groups).min(axis=1), count)  # every `groups`-th column is of one group
    columns = (best[:, :, None] + groups * np.arange(GROUP)).reshape(len(rows), -1)
    return np.take_along_axis(columns, _lowest(np.take_along_axis(rows, columns, axis=1), count), axis=1)


def _lowest(values: "Matrix", count: int) -> "NDArray[np.intp]":
    return np.argpartition(values, count - 1, axis=1)[:, :count]


def _descent(vectors: "Matrix", k: int, metric: str, seed: int) -> "tuple[NDArray[np.int32], Matrix]":
    from pynndescent import NNDescent

    trees, rounds = min(64, 5 + round(len(vectors) ** 0.5 / 20)), max(5, round(np.log2(len(vectors))))
    index = NNDescent(
        vectors, metric=metric, n_neighbors=k, n_trees=trees, n_iters=rounds, max_candidates=60, random_state=seed
    )
    indices, distances = index.neighbor_graph
    return indices.astype(np.int32), distances.astype(np.float32)
