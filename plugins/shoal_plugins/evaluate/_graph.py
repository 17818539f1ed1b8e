"""The graph of nearest neighbours, and what clusters look like in it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.contract import Context
from shoal.errors import StageError
from shoal_plugins.reduce._matrix import blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal_plugins.reduce._matrix import Matrix

    Numbers = NDArray[np.int64]

EXACT_ROWS = 20_000
"""Up to here FAISS compares every pair: 10 s on two cores at 50 components; above, an inverted file finds nearly all
neighbours in a fraction of that (`benchmarks/purity.py` says how many)."""

PROBED = 16
TRAINED_ON = 64  # vectors a list


def neighbours(points: "Matrix", k: int, backend: str, context: Context) -> "tuple[Numbers, str]":
    """Return the `k` rows of the largest cosine to each row, itself left out, and what found them.

    Args:
        points: rows of length 1 (or 0), shape (n, size), float32.
        k: less than n.
        backend: `auto`, `cuml` or `cpu`.
        context: threads, and whether there is a GPU.

    Raises:
        StageError: backend cuml is wanted and can't be used.
    """
    from shoal_plugins.reduce._gpu import reason_against_cuml

    wanted = backend == "cuml" or (backend == "auto" and context.gpu)
    against = reason_against_cuml() if wanted else None
    if wanted and against is None:
        return _without_self(_on_gpu(points, k + 1), k), "cuml"
    if backend == "cuml":
        raise StageError(f"the neighbours can't be found by cuml, because {against}; take backend: auto")
    found, how = _by_faiss(points, k + 1, context.threads)
    return _without_self(found, k), how if against is None else f"{how} (because {against})"


def _on_gpu(points: "Matrix", k: int) -> "Numbers":
    from cuml.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=k, algorithm="brute", metric="euclidean", output_type="numpy").fit(points)
    return np.vstack([np.asarray(model.kneighbors(points[part], return_distance=False)) for part in blocks(len(points))])


def _by_faiss(points: "Matrix", k: int, threads: int) -> "tuple[Numbers, str]":
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        flat: Any = faiss.IndexFlatIP(points.shape[1])
        index, how = flat, "faiss, exact"
        if len(points) > EXACT_ROWS:
            lists = int(len(points) ** 0.5)
            index, how = faiss.IndexIVFFlat(flat, points.shape[1], lists, faiss.METRIC_INNER_PRODUCT), "faiss, approximate"
            index.cp.max_points_per_centroid, index.nprobe = TRAINED_ON, PROBED
            index.train(points)
        index.add(points)
        return np.vstack([index.search(points[part], k)[1] for part in blocks(len(points))]), how
    finally:
        faiss.omp_set_num_threads(before)


def _without_self(found: "Numbers", k: int) -> "Numbers":
    """Return the first `k` of each row that are not the row; -1 where fewer were found."""
    own = found == np.arange(len(found))[:, None]
    own[~own.any(axis=1), -1] = True  # among many copies a row may not find itself: its last neighbour goes
    return np.asarray(found[~own].reshape(len(found), k))


def cross_counts(found: "Numbers", labels: "NDArray[np.int32]", clusters: int) -> "tuple[Numbers, Numbers]":
    """Return, by cluster, the neighbours of its images that lie in another cluster, and those that lie in any.

    Neighbours in the noise are nobody's and count in neither. An image has as many neighbours as its cluster has other
    images, at most: those of a small cluster could not all be its own.
    """
    theirs = np.where(found >= 0, labels[found], -1)
    others = np.append(np.bincount(labels[labels >= 0], minlength=clusters) - 1, 0)[labels]  # 0 for noise
    inside = (theirs >= 0) & (np.arange(found.shape[1]) < others[:, None])
    foreign = inside & (theirs != labels[:, None])
    rows = labels >= 0
    return (
        np.bincount(labels[rows], foreign.sum(axis=1)[rows], clusters).astype(np.int64),
        np.bincount(labels[rows], inside.sum(axis=1)[rows], clusters).astype(np.int64),
    )


def modularity(found: "Numbers", labels: "NDArray[np.int32]", clusters: int) -> float:
    """Return Newman's modularity of the clusters in the undirected graph that joins two images if either is near the other.

    The sum over clusters of the share of edges within, less the square of the share of edge ends; noise belongs to no
    cluster, but its edges count. 0 without an edge. Source: M. Newman, PNAS 103, 2006.
    """
    n, k = found.shape
    there = found.reshape(-1) >= 0
    left, right = np.repeat(np.arange(n, dtype=np.int64), k)[there], found.reshape(-1)[there]
    edges = np.unique(np.minimum(left, right) * n + np.maximum(left, right))
    if not len(edges):
        return 0.0
    a, b = labels[edges // n], labels[edges % n]
    within = np.bincount(a[(a == b) & (a >= 0)], minlength=clusters) / len(edges)
    ends = np.concatenate([a, b])
    degrees = np.bincount(ends[ends >= 0], minlength=clusters) / (2 * len(edges))
    return float(within.sum() - (degrees**2).sum())
