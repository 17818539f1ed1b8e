"""How far two groupings of the same images agree, from their table of counts."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    """Images by (left group, right group, number): three columns, cells that are not 0 only."""


def cells(left: "NDArray[np.int64]", right: "NDArray[np.int64]") -> "tuple[Counts, Counts, Counts]":
    """Return the groups and the number of images of each cell of the table of counts that holds any."""
    wide = int(right.max(initial=0)) + 1
    pairs, counts = np.unique(left * wide + right, return_counts=True)
    return pairs // wide, pairs % wide, counts


def rand(left: "NDArray[np.int64]", right: "NDArray[np.int64]") -> float:
    """Return the adjusted Rand index: 1 for the same groups, 0 for what chance gives.

    It is 1 where there is nothing to tell apart. Groups are numbered from 0. Source: L. Hubert, P. Arabie, 1985.
    """
    together = _pairs(cells(left, right)[2])
    ours, theirs, every = _pairs(np.bincount(left)), _pairs(np.bincount(right)), _pairs(np.array([len(left)]))
    expected = ours * theirs / every if every else 0.0
    most = (ours + theirs) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)


def _pairs(counts: "Counts") -> float:
    exact = counts.astype(np.float64)
    return float((exact * (exact - 1)).sum() / 2)


def best_jaccard(ours: "NDArray[np.int64]", theirs: "NDArray[np.int64]", clusters: int) -> "NDArray[np.float64]":
    """Return for each of our clusters the largest Jaccard index with one of theirs; NaN for one without an image.

    Args:
        ours: cluster of each image, from 0; noise is below 0.
        theirs: the same of the other grouping.
        clusters: number of ours.
    """
    sizes = np.bincount(ours[ours >= 0], minlength=clusters)
    other = np.bincount(theirs[theirs >= 0], minlength=1)
    both = (ours >= 0) & (theirs >= 0)
    left, right, count = cells(ours[both], theirs[both])
    best = np.zeros(clusters)
    np.maximum.at(best, left, count / (sizes[left] + other[right] - count))
    return np.where(sizes > 0, best, np.nan)
