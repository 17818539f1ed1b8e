"""What every sampler does: go through the clusters, rank members, keep the first ones."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from shoal_plugins.reduce._matrix import matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pick = Callable[[int, NDArray[np.float64], int], NDArray[np.intp]]


def pick_from_clusters(rows: pa.Table, per_cluster: int, pick: "Pick", schema: pa.Schema) -> pa.Table:
    """Return `id` and `rank` of the picked images, in the order of `rows`.

    Args:
        rows: `id`, `embedding`, `cluster`.
        per_cluster: images wanted of each cluster; a smaller cluster gives all.
        pick: called with a cluster's number, its members' distances to their centroid, and how many to pick; returns
            positions among the members, best first, each once.
        schema: columns besides the key.
    """
    vectors = matrix(rows)
    clusters = rows["cluster"].to_numpy()
    ranks = np.full(len(vectors), -1, dtype=np.int32)
    order = np.argsort(clusters, kind="stable")
    bounds = np.flatnonzero(np.diff(clusters[order])) + 1
    for members in np.split(order, bounds) if len(order) else []:
        number = int(clusters[members[0]])
        if number < 0:
            continue
        picked = pick(number, _from_centroid(vectors[members]), min(per_cluster, len(members)))
        ranks[members[picked]] = np.arange(len(picked), dtype=np.int32)
    chosen = np.flatnonzero(ranks >= 0)
    return pa.table(
        [rows["id"].take(pa.array(chosen)), pa.array(ranks[chosen], pa.int32())],
        schema=pa.schema([rows.schema.field("id"), *schema]),
    )


def _from_centroid(members: "NDArray[np.float32]") -> "NDArray[np.float64]":
    """Return the distances of a cluster's members to their mean."""
    apart = members - members.mean(axis=0, dtype=np.float64)
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", apart, apart)))
