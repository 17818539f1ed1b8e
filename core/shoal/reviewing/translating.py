"""Says in today's numbers what an answer said in those of another base. Pure.

A base gives each image of the run a cluster, and has numbers of its own. A cluster of one base *is* a cluster of another
where more than half of the images that either has are in both: no third one can be meant then, whichever others there are.
What is said of an image carries over where it lies in the cluster that the answer saw it in, or where the answer wants it by
now. The rest is set aside and told, never guessed.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from shoal.decisions import NOISE, Answer, Change, Said, Unsettled
from shoal.decisions.asking import said, wishes

AGAIN = "answer the task that `shoal review open` asks now"
DIGITS = 10
"""Of the number of a cluster; longer ones were made up, and may be too long to be read at all."""

NO_EXAMPLE = f"no example is where the answer saw it; {AGAIN}"


def same_clusters(there: Mapping[str, int], here: Mapping[str, int]) -> dict[int, int]:
    """Return which cluster of one base each cluster of another is; those that are none are left out, noise is noise.

    Args:
        there: cluster by image in the other base.
        here: cluster by image in the one.
    """
    both = Counter((there[image], here[image]) for image in there.keys() & here.keys())
    theirs, ours = Counter(there.values()), Counter(here.values())
    found = {one: other for (one, other), common in both.items() if 3 * common > theirs[one] + ours[other]}
    return {one: other for one, other in found.items() if NOISE not in (one, other)} | {NOISE: NOISE}


@dataclass(frozen=True)
class Crossing:
    """From one base to another.

    Attributes:
        there, here: cluster by image in the base that answers come from, and in the one that they go to.
        source, target: what the two are called.
        same: which cluster of the second each of the first is.
    """

    there: Mapping[str, int]
    here: Mapping[str, int]
    source: str
    target: str
    same: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def between(cls, there: Mapping[str, int], here: Mapping[str, int], source: str, target: str) -> "Crossing":
        """Return the way from one base to another."""
        return cls(there, here, source, target, same_clusters(there, here))

    def task(self, key: str) -> str | None:
        """Return the task that asks the same in the second base; None where its cluster is none of these."""
        number = _cluster(key)
        if number is None:
            return key
        return f"cluster:{self.same[number]}" if number in self.same else None

    def stays(self, image: str) -> bool:
        """Tell whether an image lies where those who answered saw it; of one that is in neither base others tell."""
        if image not in self.there or image not in self.here:
            return True
        return self.same.get(self.there[image]) == self.here[image]


@dataclass(frozen=True)
class Translated:
    """What became of an answer.

    Attributes:
        answer: in the numbers of the second base; None where nothing of it carries over.
        unsettled: what does not carry over, and why.
    """

    answer: Answer | None
    unsettled: tuple[Unsettled, ...] = ()


def translate(answer: Answer, way: Crossing) -> Translated:
    """Return an answer in the numbers of another base; `base` still says where it comes from."""
    task = way.task(answer.task)
    if task is None:
        number = _cluster(answer.task)
        why = f"cluster {number} of {way.source} is no cluster of {way.target}; {AGAIN}, and take this answer back"
        told = Unsettled(subject=answer.task, why=why, said=(all_said(answer),))
        return Translated(None, (told,) if answer.changes else ())
    changes: list[Change] = []
    unsettled: list[Unsettled] = []
    for change in _last_words(answer):
        kept, why = _change(change, way)
        changes += [kept] if kept else []
        for subject, wish in wishes(answer.model_copy(update={"changes": (change,)})).items():
            if kept is None or (subject.kind == "image" and subject.of not in kept.images):
                because = why or (_elsewhere(str(subject.of), way) if subject.kind == "image" else NO_EXAMPLE)
                unsettled.append(Unsettled(subject=str(subject), why=because, said=(said(answer, wish),)))
    return Translated(answer.model_copy(update={"task": task, "changes": tuple(changes)}), tuple(unsettled))


def _last_words(answer: Answer) -> list[Change]:
    """Return the changes without what an answer says before its last word on an image, a name or a merge."""
    found: list[Change] = []
    decided: set[object] = set()
    for change in reversed(answer.changes):
        subject = (change.kind, change.cluster) if change.kind in ("rename", "merge") else None
        images = tuple(image for image in change.images if image not in decided)
        emptied = change.kind != "split" and change.images and not images
        if subject in decided or emptied or not wishes(answer.model_copy(update={"changes": (change,)})):
            continue
        decided.update(images if subject is None else (subject,))
        found.append(change.model_copy(update={"images": images}))
    return found[::-1]


def _change(change: Change, way: Crossing) -> tuple[Change | None, str]:
    """Return what of a change carries over, in the numbers of the second base, and which number does not."""
    aimed, about = change.kind in ("move", "confirm", "merge"), change.kind in ("rename", "split", "merge")
    needed = [*([change.to] if aimed else []), *([change.cluster] if about else [])]
    strange = next((number for number in needed if number not in way.same), None)
    if strange is not None:
        return None, f"cluster {strange} of {way.source} is no cluster of {way.target}; {AGAIN}"
    cluster, to = (None if number is None else way.same.get(number) for number in (change.cluster, change.to))
    goal = NOISE if change.kind == "noise" else to if change.kind in ("move", "confirm") else None
    images = tuple(image for image in change.images if way.stays(image) or (goal is not None and way.here[image] == goal))
    if change.images and not images:  # a split without any of its examples would be another split
        return None, ""
    return change.model_copy(update={"cluster": cluster, "to": to, "images": images}), ""


def _elsewhere(image: str, way: Crossing) -> str:
    cluster = way.here[image]
    place = "noise" if cluster == NOISE else f"cluster {cluster}"
    return f"{way.target} has it in {place}, not where the answer saw it; {AGAIN}"


def _cluster(task: str) -> int | None:
    """Return the cluster that a task asks about; None for a task about an image."""
    kind, _, number = task.partition(":")
    return int(number) if kind == "cluster" and number.isdecimal() and len(number) <= DIGITS else None


def all_said(answer: Answer) -> Said:
    """Return all that an answer asks for, in the numbers that it means."""
    words = dict.fromkeys(wish.words() for wish in wishes(answer).values())
    return said(answer, None).model_copy(update={"asks": ", ".join(words)})
