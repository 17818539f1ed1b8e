"""Splits a cluster by examples: what people did not see goes with the examples that it is nearer to."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Vectors = Callable[[Sequence[str]], "NDArray[np.float32]"]
"""Gives the vectors of images, a row an image: shape (images, components)."""

ROUNDS = 100


def split(
    members: Sequence[str], examples: Mapping[str, Sequence[str]], stays: Sequence[str], vectors: Vectors
) -> dict[str, str]:
    """Return the new cluster of each member that leaves; those that are not in it stay.

    A member that nobody spoke of goes where the mean of the examples is nearest (Euclidean, of vectors of length 1; where
    it is as far, it stays). Without an example of what stays, that is the mean of all that is no example; without any
    example the members fall in two halves by 2-means, and the smaller half leaves.

    Args:
        members: ids.
        examples: members that go into each new cluster.
        stays: members that were kept.
        vectors: gives the vectors of ids.
    """
    given = {image: new for new, images in examples.items() for image in images}
    if not any(examples.values()):
        free = sorted(set(members) - set(stays))
        return dict.fromkeys(_half(free, vectors), next(iter(examples)))
    open_ = sorted(set(members) - set(given) - set(stays))
    if not open_:
        return given
    groups = [list(stays) or open_, *(list(images) for images in examples.values() if images)]
    names = ["", *(new for new, images in examples.items() if images)]
    nearest = _nearest(_unit(vectors(open_)), [_unit(vectors(group)).mean(axis=0) for group in groups])
    return given | {image: names[place] for image, place in zip(open_, nearest, strict=True) if place}


def _unit(rows: "NDArray[np.float32]") -> "NDArray[np.float32]":
    from shoal.vectors import unit_length

    return unit_length(rows)


def _nearest(rows: "NDArray[np.float32]", means: Sequence["NDArray[np.float32]"]) -> list[int]:
    """Return the place of the nearest mean of each row, the first of those that are as near."""
    import numpy as np

    return [int(place) for place in np.argmin([((rows - mean) ** 2).sum(axis=1) for mean in means], axis=0)]


def _half(members: Sequence[str], vectors: Vectors) -> list[str]:
    """Return the smaller of the two halves that 2-means finds, begun at the two members that lie far apart.

    Begun so, and with members in the order of their ids, the same members always fall in the same halves.
    """
    import numpy as np

    if len(members) < 2:
        return []
    rows = _unit(vectors(members))
    first = int(((rows - rows.mean(axis=0)) ** 2).sum(axis=1).argmax())
    second = int(((rows - rows[first]) ** 2).sum(axis=1).argmax())
    means, found = [rows[first], rows[second]], list[int]()
    for _ in range(ROUNDS):
        nearest = _nearest(rows, means)
        if nearest == found or len(set(nearest)) < 2:
            break
        found = nearest
        means = [rows[np.array(found) == side].mean(axis=0) for side in (0, 1)]
    smaller = 1 if 2 * sum(found) <= len(members) else 0
    return [image for image, side in zip(members, found, strict=False) if side == smaller]
