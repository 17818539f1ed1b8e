"""Which cluster of a version is which of those that were computed."""

from collections.abc import Collection, Mapping

import pyarrow as pa

STAYED = (None, "keep", "split")
"""Decisions that leave an image with its cluster, whatever becomes of that."""

Flows = dict[int, dict[int, list[str]]]


def flows(reviewed: pa.Table) -> Flows:
    """Return where the images went that stayed with their cluster: by cluster before and after, their ids.

    Two clusters after are a split; another one than before is a merge.

    Args:
        reviewed: the clusters of a version: `id`, `cluster`, `before`, `decided`.
    """
    found: Flows = {}
    for row in reviewed.select(["id", "cluster", "before", "decided"]).to_pylist():
        if row["decided"] in STAYED:
            found.setdefault(row["before"], {}).setdefault(row["cluster"], []).append(row["id"])
    return found


def numbering(reviewed: pa.Table, computed: Mapping[str, int], there: Collection[int]) -> dict[int, int]:
    """Return the number that each computed cluster has in a version; those that are gone are left out.

    Args:
        reviewed: the clusters of the version.
        computed: the computed cluster of each image.
        there: the clusters of the version.
    """
    went = flows(reviewed)
    found = {}
    for image, before in zip(reviewed["id"].to_pylist(), reviewed["before"].to_pylist(), strict=True):
        ends = list(went.get(before, ()))
        if before in there:
            found[computed[image]] = before
        elif len(ends) == 1:
            found[computed[image]] = ends[0]
    return found
