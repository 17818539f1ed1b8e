"""UMAP on the CPU: exact neighbours and a graph of our own, the layout by umap-learn."""

import secrets
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from shoal_plugins.reduce._fuzzy import fuzzy_graph
from shoal_plugins.reduce._neighbours import neighbours

if TYPE_CHECKING:
    from shoal_plugins.reduce._matrix import Matrix

STEADY_ROWS = 10_000
"""A set of this many rows gets one layout: its clusters no longer hang on the seed."""

FEWEST_ROWS = 4


@dataclass(frozen=True)
class Plan:
    """What a layout depends on; see the options of `reduce.umap`."""

    components: int
    neighbors: int
    min_dist: float
    metric: str
    epochs: int | None
    layouts: int
    seed: int


def draw_seed(seed: int) -> int:
    """Return `seed`, or a random one where it is -1."""
    return secrets.randbelow(2**31) if seed < 0 else seed


def layouts_for(rows: int, most: int) -> int:
    """Return how many layouts a set of `rows` gets."""
    return max(1, min(most, STEADY_ROWS // max(rows, 1)))


def lay_out(vectors: "Matrix", plan: Plan) -> "tuple[Matrix, str]":
    """Return layouts side by side, shape (n, components * layouts), and how neighbours were found.

    Several layouts of one graph differ in their random numbers only. Divided by the root of their number, the squared
    distance between two rows is the mean of that in the layouts: what one of them tore apart by chance weighs little.
    """
    import_quietly()
    from umap import umap_

    count = layouts_for(len(vectors), plan.layouts)
    indices, distances, how = neighbours(vectors, min(plan.neighbors, len(vectors)), plan.metric, plan.seed)
    graph = fuzzy_graph(indices, distances)
    a, b = umap_.find_ab_params(1.0, plan.min_dist)
    parts = []
    for number in range(count):
        random = np.random.RandomState([plan.seed, number])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # spectral start: solver hints about graphs in several pieces
            embedding, _ = umap_.simplicial_set_embedding(
                data=vectors, graph=graph.copy(), n_components=plan.components, initial_alpha=1.0, a=a, b=b, gamma=1.0,
                negative_sample_rate=5, n_epochs=plan.epochs, init=_start(len(vectors), plan.components),
                random_state=random, metric=plan.metric, metric_kwds={}, densmap=False, densmap_kwds={},
                output_dens=False,
            )  # fmt: skip
        parts.append(embedding / np.float32(np.sqrt(count)))
    return np.hstack(parts).astype(np.float32), how


def _start(rows: int, components: int) -> str:
    """Return how a layout starts: by the graph's spectrum where it has enough eigenvectors."""
    return "spectral" if rows > components + 2 else "random"


def import_quietly() -> None:
    """Import umap-learn, and have numba keep its compiled layout loop on disk: 2 s less in every later process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that TensorFlow is missing
        from umap import layouts
    loop = layouts._nb_optimize_layout_euclidean_single_epoch
    try:
        loop.enable_caching()
    except (AttributeError, RuntimeError):  # another release, or no folder that can be written: it compiles each time
        return
