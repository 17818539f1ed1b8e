"""What an answer asks for, subject by subject: where an image goes, how a cluster is called, split, merged."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from shoal.decisions.model import NOISE, Answer, Change, Said
from shoal.text import plain

MOST_LABEL = 120
"""Characters of a label that a person wrote; the rest is cut."""

Kind = Literal["image", "name", "split", "merge"]
Place = int | str
"""A cluster: its number, or, of one that a split makes, what made it: `cluster:3#0`."""


class Subject(NamedTuple):
    """What can be asked about: an image by its id, a cluster's name, split or merge by the cluster."""

    kind: Kind
    of: Place

    def __str__(self) -> str:
        """Return it as conflicts name it."""
        if self.kind == "image":
            return f"image:{self.of}"
        return f"cluster:{self.of}" if isinstance(self.of, int) else self.of


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        kind: of the change.
        goal: of an image the cluster that it goes to, None where it stays; of a merge the cluster; of a name the name; of
            a split the number of new clusters.
        against: of a rejected suggestion the cluster that was suggested, where that is known.
    """

    kind: str
    goal: Place | None = None
    against: int | None = None

    def words(self) -> str:
        """Return it in words."""
        if self.kind == "rename":
            return f"name {self.goal}"
        if self.kind == "split":
            return f"split off {self.goal}"
        if self.kind == "merge":
            return f"merge into cluster {self.goal}"
        if self.goal is None:
            return "not as suggested" if self.kind == "reject" else "stay"
        if isinstance(self.goal, str):
            return "into the new cluster"
        return "noise" if self.goal == NOISE else f"to cluster {self.goal}"


def wishes(answer: Answer) -> dict[Subject, Wish]:
    """Return what an answer asks for; where it contradicts itself, its last word counts."""
    asked: dict[Subject, Wish] = {}
    splits: dict[int, int] = {}
    for change in answer.changes:
        asked.update(_wishes(change, splits))
    return asked


def _wishes(change: Change, splits: dict[int, int]) -> Iterator[tuple[Subject, Wish]]:
    """Yield what a change asks for. `splits` counts the clusters that its answer split off, by cluster."""
    cluster = change.cluster if change.cluster is not None else NOISE
    label = plain(change.label, MOST_LABEL)
    if change.kind == "rename":
        if label:
            yield Subject("name", cluster), Wish("rename", label)
    elif change.kind == "merge":
        if change.to != cluster:
            yield Subject("merge", cluster), Wish("merge", change.to)
    elif change.kind == "split":
        new = origin(cluster, splits.get(cluster, 0))
        splits[cluster] = splits.get(cluster, 0) + 1
        yield Subject("split", cluster), Wish("split", splits[cluster])
        if label:
            yield Subject("name", new), Wish("rename", label)
        yield from _each(change.images, Wish("split", new))
    elif change.kind == "noise":
        yield from _each(change.images, Wish("noise", NOISE))
    elif change.kind in ("move", "confirm"):
        yield from _each(change.images, Wish(change.kind, change.to))
    else:
        yield from _each(change.images, Wish(change.kind, against=change.to if change.kind == "reject" else None))


def _each(images: Iterable[str], wish: Wish) -> Iterator[tuple[Subject, Wish]]:
    return ((Subject("image", image), wish) for image in images)


def origin(cluster: int, number: int) -> str:
    """Return what names a cluster that is split off from another: the first, the second ... of that cluster."""
    return f"cluster:{cluster}#{number}"


def parent(new: str) -> int:
    """Return the cluster that a new one is split off from."""
    return int(new.removeprefix("cluster:").partition("#")[0])


def said(answer: Answer, wish: Wish | None) -> Said:
    """Return what an answer says of a subject, for people; None: nothing, so that it stays as it was shown."""
    words = wish.words() if wish else "as it was"
    return Said(surface=answer.surface, key=answer.key, at=answer.at, who=answer.who, task=answer.task, asks=words)
