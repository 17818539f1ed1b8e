"""Tells apart clusters with the same or nearly the same label, by what their captions say and the others' do not."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from shoal.names import collision_key, file_part
from shoal_plugins.label._choosing import Rules, ranked, written
from shoal_plugins.label._evidence import Evidence, Key

NEAR = 0.9
"""Labels alike to this part (difflib's ratio of their words in order of the alphabet) clash."""
APART = 0.2
"""A keyword tells a cluster apart when its share of captions is this much larger than in each that it clashes with, and at
least twice as large."""
RESERVED = ("noise", "unnamed")
"""Folders of an organised set that are no cluster's."""
LISTED = 10
"""Clusters that a clash names; the others are counted. Each image of a cluster carries what is said of it."""


@dataclass(frozen=True)
class Name:
    """The name of a cluster.

    Attributes:
        label: distinct among all, as a folder's name too.
        keys: the keywords behind it, the best first; empty where it has none.
        first: what it was before it was told apart; None where that did not change it.
        against: the clusters that it clashed with, the first `LISTED` of them.
        clashes: how many they are in all.
        told: the keyword that tells it apart; None where it is numbered or unchanged.
        there: how many captions of those clusters hold `told`, and how many captions they have.
    """

    label: str
    keys: tuple[Key, ...] = ()
    first: str | None = None
    against: tuple[int, ...] = ()
    clashes: int = 0
    told: Key | None = None
    there: tuple[int, int] = (0, 0)


class _Group:
    """Clusters that clash with one another, and how many captions of the others hold a keyword of one."""

    def __init__(self, evidence: Evidence, members: Sequence[int]) -> None:
        """Take the places of the clusters, rising."""
        self.evidence, self.members = evidence, members
        self.captions = sum(evidence.captions[index] for index in members)
        self.held: Counter[Key] = Counter()
        self.largest: dict[Key, tuple[float, int, float]] = {}  # the largest share, whose it is, and the next
        for index in members:
            for key, holders in evidence.holders[index].items():
                self.held[key] += len(holders)
                first, whose, second = self.largest.get(key, (0.0, -1, 0.0))
                share = evidence.share(index, key)
                new = (share, index, first) if share > first else (first, whose, max(second, share))
                self.largest[key] = new

    def elsewhere(self, index: int, key: Key) -> float:
        """Return the largest share of captions that another cluster has of a keyword."""
        first, whose, second = self.largest.get(key, (0.0, -1, 0.0))
        return second if whose == index else first

    def holding(self, index: int, key: Key) -> tuple[int, int]:
        """Return how many captions of the others hold a keyword, and how many they have."""
        own = len(self.evidence.holders[index].get(key, ()))
        return self.held[key] - own, self.captions - self.evidence.captions[index]

    def others(self, index: int) -> tuple[int, ...]:
        """Return the numbers of the first of the other clusters."""
        first = [other for other in self.members[: LISTED + 1] if other != index][:LISTED]
        return tuple(self.evidence.clusters[other] for other in first)

    @property
    def clashes(self) -> int:
        """How many others each has."""
        return len(self.members) - 1


class Names:
    """Gives each cluster a distinct name."""

    def __init__(self, evidence: Evidence, chosen: Sequence[Sequence[Key]], rules: Rules) -> None:
        """Take what was chosen for each cluster, in the order of `evidence.clusters`."""
        self.evidence, self.rules = evidence, rules
        self.chosen = [tuple(keys) for keys in chosen]
        self.numbered: dict[str, int] = {}
        self.taken = {_folder(name) for name in (*RESERVED, *(unnamed(cluster) for cluster in evidence.clusters))}

    def give(self) -> list[Name]:
        """Return the names, in the order of `evidence.clusters`."""
        names = {index: Name(unnamed(self.evidence.clusters[index])) for index, keys in enumerate(self.chosen) if not keys}
        groups = self._groups()
        for index in (group[0] for group in groups if len(group) == 1):
            names[index] = self._plain(index)
        for group in groups:
            if len(group) > 1:
                names.update(self._told_apart(_Group(self.evidence, group)))
        return [names[index] for index in range(len(self.chosen))]

    def _groups(self) -> list[list[int]]:
        """Return the named clusters in groups of the same or nearly the same label, in rising order."""
        root = {index: index for index, keys in enumerate(self.chosen) if keys}

        def top(index: int) -> int:
            while root[index] != index:
                index = root[index]
            return index

        texts = {index: " ".join(sorted(word for key in self.chosen[index] for word in key)) for index in root}
        firsts: dict[str, int] = {}
        for index, text in texts.items():
            root[index] = firsts.setdefault(text, index)
        for one, other in _candidates({index: text for text, index in firsts.items()}):
            if top(one) != top(other) and alike(texts[one], texts[other]):
                root[max(top(one), top(other))] = min(top(one), top(other))
        groups: dict[int, list[int]] = defaultdict(list)
        for index in root:
            groups[top(index)].append(index)
        return list(groups.values())

    def _told_apart(self, group: _Group) -> Iterator[tuple[int, Name]]:
        """Yield names for clusters that clash: first those that something tells apart, then the others, numbered."""
        waiting: list[int] = []
        for index, scores in zip(group.members, self.evidence.scores(group.members), strict=True):
            name = self._qualified(index, group, ranked(scores))
            if name is None:
                waiting.append(index)
            else:
                yield index, name
        for index in waiting:
            yield index, self._plain(index, group)

    def _qualified(self, index: int, group: _Group, order: Iterable[Key]) -> Name | None:
        evidence, keys = self.evidence, self.chosen[index]
        known = {word for key in keys for word in key}
        for key in order:
            here, there = evidence.share(index, key), group.elsewhere(index, key)
            if here < max(there + APART, 2 * there):
                continue
            shown = [text for text, word in zip(evidence.shown[key].split(), key, strict=True) if word not in known]
            label = self._with(keys, shown) if shown else None
            if label is not None and self._claim_free(label):
                first, against = written(keys, evidence), group.others(index)
                return Name(label, keys, first, against, group.clashes, key, group.holding(index, key))
        return None

    def _with(self, keys: Sequence[Key], shown: Sequence[str]) -> str | None:
        """Return a label with words in brackets behind it, shortened to the limits by its last keywords."""
        for end in range(len(keys), 0, -1):
            label = f"{written(keys[:end], self.evidence)} ({' '.join(shown)})"
            words = sum(map(len, keys[:end])) + len(shown)
            if words <= self.rules.max_words and len(label) <= self.rules.max_characters:
                return label
        return None

    def _plain(self, index: int, group: _Group | None = None) -> Name:
        """Return the label as it was chosen, with a number where it is taken."""
        first = written(self.chosen[index], self.evidence)
        number, label = self.numbered.get(first, 1), first
        if number > 1:  # up to here all are taken, and stay so
            label = self._with_number(first, number)
        while not self._claim_free(label):
            number += 1
            label = self._with_number(first, number)
        self.numbered[first] = number
        if label == first:
            return Name(label, self.chosen[index])
        against, clashes = (group.others(index), group.clashes) if group else ((), 0)
        return Name(label, self.chosen[index], first, against, clashes)

    def _with_number(self, first: str, number: int) -> str:
        tail = f" {number}"
        return first[: self.rules.max_characters - len(tail)].rstrip(" ,") + tail

    def _claim_free(self, label: str) -> bool:
        folder = _folder(label)
        free = folder not in self.taken
        self.taken.add(folder)
        return free


def unnamed(cluster: int) -> str:
    """Return the name of a cluster that has no words."""
    return f"cluster_{cluster:02d}"


def alike(one: str, other: str) -> bool:
    """Tell whether two labels are the same or nearly the same to a reader."""
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return one == other or (matcher.quick_ratio() >= NEAR and matcher.ratio() >= NEAR)


def _folder(label: str) -> str:
    return collision_key(file_part(label))


def _candidates(texts: dict[int, str]) -> Iterator[tuple[int, int]]:
    """Yield pairs of labels that may be alike: two words begin alike, and the letters agree as far as they must.

    The latter is the quick ratio of difflib, for one label and all others at once: a set of one thing alone, such as
    dresses, has millions of pairs.
    """
    import numpy as np

    alphabet = {letter: number for number, letter in enumerate(sorted(set().union(*texts.values())))}
    counts = np.zeros((len(texts), len(alphabet)), dtype=np.int32)
    blocks: dict[str, dict[int, None]] = defaultdict(dict)
    for place, text in enumerate(texts.values()):
        np.add.at(counts[place], [alphabet[letter] for letter in text], 1)
        for word in text.split():
            blocks[word[:3]][place] = None
    lengths, indices = counts.sum(axis=1), list(texts)
    for place, text in enumerate(texts.values()):
        later = {other for word in text.split() for other in blocks[word[:3]] if other > place}
        near = np.array(sorted(later), dtype=np.int64)
        letters = np.flatnonzero(counts[place])
        shared = np.minimum(counts[np.ix_(near, letters)], counts[place, letters]).sum(axis=1)
        enough = 2.0 * shared / (lengths[near] + lengths[place]) >= NEAR
        yield from ((indices[place], indices[other]) for other in near[enough])
