"""The fuzzy graph of UMAP: how strongly each pair of neighbours belongs together (McInnes, Healy, Melville 2018)."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal_plugins.reduce._matrix import Matrix

ROUNDS = 64
SMALLEST_SCALE = 1e-3


def fuzzy_graph(indices: "NDArray[np.int32]", distances: "Matrix") -> Any:
    """Return the symmetric weights between neighbours as a scipy sparse matrix of shape (n, n), float32.

    Plain numpy in place of umap-learn's compiled functions, which take 5 s to compile in each new environment; a test
    holds it equal to them.

    Args:
        indices: (n, k) rows of the nearest neighbours, the row itself first.
        distances: (n, k) their distances.
    """
    from scipy.sparse import coo_matrix

    n, k = indices.shape
    nearest, scale = _local_scale(distances.astype(np.float64))
    beyond = np.maximum(distances[:, 1:] - nearest[:, None], 0)
    weights = np.exp(-np.divide(beyond, scale[:, None], out=np.zeros_like(beyond), where=scale[:, None] > 0))
    one_way = coo_matrix(
        (weights.astype(np.float32).ravel(), (np.repeat(np.arange(n), k - 1), indices[:, 1:].ravel())), shape=(n, n)
    ).tocsr()
    other_way = one_way.T.tocsr()
    graph = one_way + other_way - one_way.multiply(other_way)
    graph.eliminate_zeros()
    return graph.tocoo()


def _local_scale(distances: "NDArray[np.float64]") -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return each row's distance to its nearest other point, and the scale at which its weights add up to log2(k)."""
    target = np.log2(distances.shape[1])
    positive = np.where(distances > 0, distances, np.inf).min(axis=1)
    nearest = np.where(np.isfinite(positive), positive, 0.0)
    beyond = np.maximum(distances[:, 1:] - nearest[:, None], 0)
    low: NDArray[np.float64] = np.zeros(len(distances))
    high: NDArray[np.float64] = np.full(len(distances), np.inf)
    scale: NDArray[np.float64] = np.ones(len(distances))
    for _ in range(ROUNDS):
        total = np.exp(-beyond / scale[:, None]).sum(axis=1)
        over = total > target
        high, low = np.where(over, scale, high), np.where(over, low, scale)
        scale = np.where(np.isfinite(high), (low + high) / 2, scale * 2)
        done = np.abs(total - target) < 1e-5
        if done.all():
            break
    mean = np.where(nearest > 0, distances.mean(axis=1), distances.mean())
    return nearest, np.maximum(scale, SMALLEST_SCALE * mean)
