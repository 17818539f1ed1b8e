"""Which members of a cluster are shown: all of a small one, of a large one typical, doubtful and far ones."""

from collections.abc import Sequence
from dataclasses import dataclass

MOST = 48
"""Thumbnails in a task: more, and Label Studio's grid is slow and nobody looks."""

BORDER, FAR = "border", "far"


@dataclass(frozen=True)
class Sample:
    """The rows that are shown, in the order of the task, and what is special about some."""

    rows: tuple[int, ...]
    marks: dict[int, str]


def sample(rows: Sequence[int], doubt: Sequence[float], distance: Sequence[float], most: int = MOST) -> Sample:
    """Pick members: half of them typical, a quarter on the border to another cluster, a quarter far from the centre.

    Args:
        rows: members of the cluster by rising doubt.
        doubt: of each.
        distance: of each to the centroid.
        most: to pick.
    """
    places = range(len(rows))
    quarter = most // 4 if len(rows) > most else max(1, len(rows) // 4)
    borders = [place for place in reversed(places) if doubt[place] >= 0.5][:quarter]
    left = [place for place in places if place not in set(borders)]
    far = sorted(left, key=lambda place: (-distance[place], place))[:quarter]
    odd = {*borders, *far}
    typical = [place for place in left if place not in odd]
    if len(rows) > most:
        typical = typical[: most - len(odd)]
    shown = [*typical, *sorted(far, key=lambda place: distance[place]), *reversed(borders)]
    marks = {rows[place]: FAR for place in far} | {rows[place]: BORDER for place in borders}
    return Sample(tuple(rows[place] for place in shown), marks)
