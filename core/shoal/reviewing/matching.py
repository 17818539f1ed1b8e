"""Which cluster of a new clustering is which of an old one: by overlap of members."""

from collections.abc import Mapping
from dataclasses import dataclass

OVERLAP = 0.3
"""Least share of the images of two clusters that both have, of those that either has, for them to be one cluster."""

SOME = 1e-9
"""Clusters that share no image are never one, whatever overlap is asked for."""


@dataclass(frozen=True)
class Match:
    """A cluster of the new clustering and its own of the old one.

    Attributes:
        new, old: numbers.
        overlap: shared images by images of either (Jaccard index), among images that both clusterings know.
    """

    new: int
    old: int
    overlap: float


def match(new: Mapping[str, int], old: Mapping[str, int], least: float = OVERLAP) -> list[Match]:
    """Pair clusters so that the overlaps sum up to the most (Hungarian method), and return pairs of enough overlap.

    Images that only one clustering knows don't count: more images take no cluster its name. Noise (-1) is no cluster.

    Args:
        new: cluster by image.
        old: cluster by image.
        least: pairs under this overlap are none.
    """
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    known = sorted(new.keys() & old.keys())
    ours, row = np.unique([new[image] for image in known], return_inverse=True)
    theirs, column = np.unique([old[image] for image in known], return_inverse=True)
    both = np.zeros((len(ours), len(theirs)))
    np.add.at(both, (row, column), 1)
    either = both.sum(axis=1, keepdims=True) + both.sum(axis=0, keepdims=True) - both
    share = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    share, ours, theirs = share[np.ix_(ours >= 0, theirs >= 0)], ours[ours >= 0], theirs[theirs >= 0]
    pairs = zip(*linear_sum_assignment(share, maximize=True), strict=True)
    made = [Match(int(ours[one]), int(theirs[other]), float(share[one, other])) for one, other in pairs]
    return sorted((pair for pair in made if pair.overlap >= max(least, SOME)), key=lambda pair: pair.new)
