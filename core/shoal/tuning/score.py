"""How good clusters look to somebody who knows no labels: modularity on the features' neighbour graph, and stability.

Modularity (M. Newman, PRE 2004) is measured on the graph in which each image is joined to its nearest ones by cosine of
the features, before any reduction: a candidate can't improve it by bending the space. An edge weighs by the neighbours
that its ends share (Jaccard index; J. Levine et al., PhenoGraph, Cell 162, 2015): an image between two clusters speaks for
neither. Modularity falls to 0 for one giant cluster (all edges lie inside, as chance would have it too), for noise
(nobody's) and for crumbs (most edges leave them).
Stability is the adjusted Rand index (L. Hubert, P. Arabie, 1985) between a candidate's clusters and those of its twin,
which differs in the reducer's seed only.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoal.tuning.settings import Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Labels = NDArray[np.int64]
    Edges = NDArray[np.int64]

BLOCK = 1024
MOST = 20_000
"""Images of the graph; of a larger set an even draw, which has the same clusters."""


@dataclass(frozen=True)
class Score:
    """A candidate's score and its parts, each 0 to 1 (modularity below 0 counts as 0)."""

    modularity: float
    stability: float
    score: float


@dataclass(frozen=True)
class Graph:
    """Neighbours of images.

    Attributes:
        rows: places of its images in the table.
        edges: (edges, 2) pairs of places among `rows`, each pair once.
        weights: of the edges, each over 0.
    """

    rows: "Labels"
    edges: "Edges"
    weights: "NDArray[np.float64]"


def graph(vectors: "NDArray[np.float32]", neighbors: int, seed: int = 0) -> Graph:
    """Return the graph in which two images are joined if one is among the `neighbors` nearest of the other, by cosine.

    An edge weighs the Jaccard index of its ends' neighbours, each counted among its own.
    """
    import numpy as np

    rows: Labels = np.arange(len(vectors))
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(seed).choice(len(vectors), MOST, replace=False))
    some = vectors[rows].astype(np.float32)
    some = some / np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1e-12)
    count = min(neighbors, len(some) - 1)
    if count < 1:
        return Graph(rows, np.empty((0, 2), np.int64), np.empty(0))
    near = _nearest(some, count)
    both = np.stack([np.repeat(near[:, 0], count), near[:, 1:].ravel()], axis=1)
    edges = np.unique(np.sort(both, axis=1), axis=0)
    return Graph(rows, edges, _jaccard(near, edges))


def _nearest(unit: "NDArray[np.float32]", count: int) -> "Labels":
    """Return the places of each unit vector itself and of the `count` nearest to it, shape (n, 1 + count)."""
    import numpy as np

    found = []
    for start in range(0, len(unit), BLOCK):
        cosine = unit[start : start + BLOCK] @ unit.T
        own = np.arange(len(cosine))
        cosine[own, own + start] = -np.inf
        found.append(np.column_stack([own + start, np.argpartition(-cosine, count - 1, axis=1)[:, :count]]))
    return np.concatenate(found)


def _jaccard(near: "Labels", edges: "Edges") -> "NDArray[np.float64]":
    """Return for each edge the share of its ends' neighbours that both have."""
    import numpy as np

    shared = [
        (near[part[:, 0], :, None] == near[part[:, 1], None, :]).sum(axis=(1, 2))
        for part in (edges[start : start + BLOCK] for start in range(0, len(edges), BLOCK))
    ]
    both = np.concatenate(shared)
    share: NDArray[np.float64] = both / (2 * near.shape[1] - both)
    return share


def modularity(joined: Graph, labels: "Labels") -> float:
    """Return Newman's modularity of clusters (-1: nobody's) on a graph with weights."""
    import numpy as np

    if not len(joined.edges):
        return 0.0
    ends = labels[joined.rows][joined.edges]
    total = joined.weights.sum()
    inside = joined.weights[(ends[:, 0] == ends[:, 1]) & (ends[:, 0] >= 0)].sum() / total
    known = ends >= 0
    degrees = np.bincount(ends[known], np.repeat(joined.weights[:, None], 2, axis=1)[known]) / (2 * total)
    return float(inside - np.square(degrees).sum())


def rand(first: "Labels", second: "Labels") -> float:
    """Return the adjusted Rand index of two labellings; labels are whole numbers, noise one group of its own."""
    import numpy as np

    counts, rows, columns = contingency(first, second)
    together = _pairs(counts).sum()
    left, right, every = _pairs(rows).sum(), _pairs(columns).sum(), _pairs(np.asarray([len(first)]))[0]
    expected = left * right / every if every else 0.0
    most = (left + right) / 2
    return 1.0 if most == expected else float((together - expected) / (most - expected))


def information(first: "Labels", second: "Labels") -> float:
    """Return the normalised mutual information (arithmetic mean) of two labellings."""
    import numpy as np

    counts, rows, columns = contingency(first, second)
    left, right = _entropy(rows), _entropy(columns)
    if left + right == 0:
        return 1.0
    mutual = left + right - _entropy(counts)
    return float(np.clip(2 * mutual / (left + right), 0.0, 1.0))


def contingency(first: "Labels", second: "Labels") -> "tuple[Labels, Labels, Labels]":
    """Return how many images each pair of labels has, each first label, and each second one."""
    import numpy as np

    _, left = np.unique(first, return_inverse=True)
    _, right = np.unique(second, return_inverse=True)
    width = int(right.max(initial=0)) + 1
    _, counts = np.unique(left * width + right, return_counts=True)
    return counts, np.bincount(left), np.bincount(right)


def score(joined: Graph, labels: "Labels", twin: "Labels | None", weights: Weights) -> Score:
    """Return the score of clusters."""
    found = modularity(joined, labels)
    steady = 1.0 if twin is None else max(0.0, rand(labels, twin))
    return Score(found, steady, max(0.0, found) ** weights.modularity * steady**weights.stability)


def _pairs(counts: "Labels") -> "NDArray[np.float64]":
    wide: NDArray[np.float64] = counts.astype("float64")
    return wide * (wide - 1) / 2


def _entropy(counts: "Labels") -> float:
    import numpy as np

    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())
