"""Tells apart clusters with the same or nearly the same label, by what their captions say and the others' do not."""

from collections import defaultdict
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


@dataclass(frozen=True)
class Name:
    """The name of a cluster.

    Attributes:
        label: distinct among all, as a folder's name too.
        keys: the keywords behind it, the best first; empty where it has none.
        first: what it was before it was told apart; None where that did not change it.
        against: the clusters that it clashed with.
        told: the keyword that tells it apart; None where it is numbered or unchanged.
    """

    label: str
    keys: tuple[Key, ...] = ()
    first: str | None = None
    against: tuple[int, ...] = ()
    told: Key | None = None


class Names:
    """Gives each cluster a distinct name."""

    def __init__(self, evidence: Evidence, chosen: Sequence[Sequence[Key]], rules: Rules) -> None:
        """Take what was chosen for each cluster, in the order of `evidence.clusters`."""
        self.evidence, self.rules = evidence, rules
        self.chosen = [tuple(keys) for keys in chosen]
        self.taken = {_folder(name) for name in (*RESERVED, *(unnamed(cluster) for cluster in evidence.clusters))}

    def give(self) -> list[Name]:
        """Return the names, in the order of `evidence.clusters`."""
        names = {index: Name(unnamed(self.evidence.clusters[index])) for index, keys in enumerate(self.chosen) if not keys}
        groups = self._groups()
        for index in (group[0] for group in groups if len(group) == 1):
            names[index] = self._plain(index, ())
        for group in groups:
            if len(group) > 1:
                names.update(self._told_apart(group))
        return [names[index] for index in range(len(self.chosen))]

    def _groups(self) -> list[list[int]]:
        """Return the named clusters in groups of the same or nearly the same label, in rising order."""
        root = {index: index for index, keys in enumerate(self.chosen) if keys}

        def top(index: int) -> int:
            while root[index] != index:
                index = root[index]
            return index

        texts = {index: " ".join(sorted(word for key in self.chosen[index] for word in key)) for index in root}
        for one, other in _candidates(texts):
            if top(one) != top(other) and alike(texts[one], texts[other]):
                root[max(top(one), top(other))] = min(top(one), top(other))
        groups: dict[int, list[int]] = defaultdict(list)
        for index in root:
            groups[top(index)].append(index)
        return list(groups.values())

    def _told_apart(self, group: Sequence[int]) -> Iterator[tuple[int, Name]]:
        """Yield names for clusters that clash: first those that something tells apart, then the others, numbered."""
        waiting: list[int] = []
        for index, scores in zip(group, self.evidence.scores(group), strict=True):
            others = [other for other in group if other != index]
            name = self._qualified(index, others, ranked(scores))
            if name is None:
                waiting.append(index)
            else:
                yield index, name
        for index in waiting:
            yield index, self._plain(index, [other for other in group if other != index])

    def _qualified(self, index: int, others: Sequence[int], order: Iterable[Key]) -> Name | None:
        evidence, keys = self.evidence, self.chosen[index]
        known = {word for key in keys for word in key}
        for key in order:
            here, there = evidence.share(index, key), max(evidence.share(other, key) for other in others)
            if here < max(there + APART, 2 * there):
                continue
            shown = [text for text, word in zip(evidence.shown[key].split(), key, strict=True) if word not in known]
            label = self._with(keys, shown) if shown else None
            if label is not None and self._claim_free(label):
                return Name(label, keys, written(keys, evidence), self._numbers(others), key)
        return None

    def _with(self, keys: Sequence[Key], shown: Sequence[str]) -> str | None:
        """Return a label with words in brackets behind it, shortened to the limits by its last keywords."""
        for end in range(len(keys), 0, -1):
            label = f"{written(keys[:end], self.evidence)} ({' '.join(shown)})"
            words = sum(map(len, keys[:end])) + len(shown)
            if words <= self.rules.max_words and len(label) <= self.rules.max_characters:
                return label
        return None

    def _plain(self, index: int, others: Sequence[int]) -> Name:
        """Return the label as it was chosen, with a number where it is taken."""
        first = written(self.chosen[index], self.evidence)
        number, label = 1, first
        while not self._claim_free(label):
            number += 1
            tail = f" {number}"
            label = first[: self.rules.max_characters - len(tail)].rstrip(" ,") + tail
        changed = first if label != first else None
        return Name(label, self.chosen[index], changed, self._numbers(others) if changed else ())

    def _claim_free(self, label: str) -> bool:
        folder = _folder(label)
        free = folder not in self.taken
        self.taken.add(folder)
        return free

    def _numbers(self, indices: Iterable[int]) -> tuple[int, ...]:
        return tuple(self.evidence.clusters[index] for index in indices)


def unnamed(cluster: int) -> str:
    """Return the name of a cluster that has no words."""
    return f"cluster_{cluster:02d}"


def alike(one: str, other: str) -> bool:
    """Tell whether two labels are the same or nearly the same to a reader."""
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return one == other or (matcher.quick_ratio() >= NEAR and matcher.ratio() >= NEAR)


def _folder(label: str) -> str:
    return collision_key(file_part(label))


def _candidates(texts: "dict[int, str]") -> Iterator[tuple[int, int]]:
    """Yield pairs of labels in which two words begin alike: no others need comparing."""
    blocks: dict[str, dict[int, None]] = defaultdict(dict)
    for index, text in texts.items():
        for word in text.split():
            blocks[word[:3]][index] = None
    for block in blocks.values():
        members = list(block)
        for place, one in enumerate(members):
            for other in members[place + 1 :]:
                yield one, other
