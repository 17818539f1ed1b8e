"""Nearest neighbours: exact by blocks, approximate for sets where that takes too long."""

from typing import TYPE_CHECKING

import numpy as np

from shoal_plugins.reduce._matrix import blocks, unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal_plugins.reduce._matrix import Matrix

EXACT_ROWS = 30_000
"""Up to here every pair is compared: no compiling, no randomness."""

ROWS_AT_ONCE = 512
SPARE = 4


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
    half_squares = np.einsum("ij,ij->i", points, points) / 2
    wide = min(len(points), k + SPARE)
    indices = np.empty((len(points), k), dtype=np.int32)
    distances = np.empty((len(points), k), dtype=np.float32)
    for part in blocks(len(points), ROWS_AT_ONCE):
        here = np.arange(part.start, part.stop)
        near = half_squares - points[part] @ points.T  # half the squared distance, less what the row has in common
        near[np.arange(len(here)), here] = -np.inf
        found = np.sort(np.argpartition(near, wide - 1, axis=1)[:, :wide], axis=1) if wide < len(points) else _all(near)
        apart = points[part][:, None, :] - points[found]  # the product above loses digits where points are close
        squares = np.einsum("ijk,ijk->ij", apart, apart)
        squares[found == here[:, None]] = -1
        order = np.argsort(squares, axis=1, kind="stable")[:, :k]
        indices[part] = np.take_along_axis(found, order, axis=1)
        squares = np.maximum(np.take_along_axis(squares, order, axis=1), 0)
        distances[part] = squares / 2 if metric == "cosine" else np.sqrt(squares)
    return indices, distances


def _all(near: "Matrix") -> "NDArray[np.intp]":
    return np.broadcast_to(np.arange(near.shape[1]), near.shape)


def _descent(vectors: "Matrix", k: int, metric: str, seed: int) -> "tuple[NDArray[np.int32], Matrix]":
    from pynndescent import NNDescent

    trees, rounds = min(64, 5 + round(len(vectors) ** 0.5 / 20)), max(5, round(np.log2(len(vectors))))
    index = NNDescent(
        vectors, metric=metric, n_neighbors=k, n_trees=trees, n_iters=rounds, max_candidates=60, random_state=seed
    )
    indices, distances = index.neighbor_graph
    return indices.astype(np.int32), distances.astype(np.float32)
