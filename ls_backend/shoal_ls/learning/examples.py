"""What a head learns from: decided images, and images of clusters that nobody doubted; which are held out for judging it."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

CONFIRMING = ("keep", "move", "confirm", "split")
"""Decisions that say where an image belongs; noise belongs nowhere, a rejected suggestion says where it does not."""

HELD_SHARE = 0.25


@dataclass(frozen=True)
class Examples:
    """Images by what they are for; each value is the image's cluster in the current version.

    Attributes:
        fitted: decided ones that heads are fitted to.
        held: decided ones that are held out.
        background: undecided ones, at most so many a cluster.
    """

    fitted: Mapping[str, int]
    held: Mapping[str, int]
    background: Mapping[str, int]

    @property
    def digest(self) -> str:
        """A hash of the decisions."""
        lines = sorted(f"{image} {cluster}\n" for image, cluster in {**self.fitted, **self.held}.items())
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def decided(self) -> int:
        """Number of decisions."""
        return len(self.fitted) + len(self.held)


def examples(clusters: pa.Table, most: int = 50, in_all: int = 20_000) -> Examples:
    """Return what there is to learn from in a version of a run's clusters.

    Background images stand for what nobody has looked at: a cluster with one decision about an odd member, or with none,
    would else be unknown to the head.

    Args:
        clusters: `id`, `cluster`, `decided`: the kind of the decision, null where nobody took one.
        most: background images a cluster.
        in_all: background images in all; fewer a cluster where there are many clusters.
    """
    decided, left = {}, defaultdict(list)
    rows = (clusters[name].to_pylist() for name in ("id", "cluster", "decided"))
    for image, cluster, kind in zip(*rows, strict=True):
        if cluster >= 0 and kind in CONFIRMING:
            decided[image] = cluster
        elif cluster >= 0 and kind is None:
            left[cluster].append(image)
    share = max(min(most, in_all // max(len(left), 1)), 1)
    background = {image: cluster for cluster, images in left.items() for image in _first(images, share)}
    held = {image: cluster for image, cluster in decided.items() if is_held(image)}
    fitted = {image: cluster for image, cluster in decided.items() if image not in held}
    return Examples(fitted, held, background)


def is_held(image: str) -> bool:
    """Tell whether decisions about an image are held out: that depends on its id alone, so it is so for ever.

    Ids are hashes, so each cluster has about the same share held out.
    """
    return _place(image) < HELD_SHARE


def _first(images: Iterable[str], count: int) -> list[str]:
    """Return some images, the same ones whatever else there is: those whose hashes are the smallest."""
    return sorted(images, key=lambda image: (_place(image), image))[:count]


def _place(image: str) -> float:
    return int.from_bytes(hashlib.sha256(f"held out {image}".encode()).digest()[:8]) / 2**64
