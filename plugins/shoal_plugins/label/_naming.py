"""Chooses a word for each cluster: how much a word tells about the cluster, who supports it, and who has it already."""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from shoal.vectors import to_numpy
from shoal_plugins.label._terms import key_of
from shoal_plugins.label._words import Word, membership, vocabulary

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CANDIDATES = 40
"""Words looked at for a cluster, best first; a later one has next to no weight."""
KEEP = 0.25
"""Against its rivals, too, a word must tell this share of what the cluster's best word tells, else it sets nobody apart."""
SAME = 0.5
"""Two words are one to a cluster when they share this part of the probability that it gives to either."""
MIN_BITS = 0.05
"""A word that tells less tells nothing."""
MIN_LIFT = 1.2
"""A word must be this many times as probable in a cluster as in the whole set, if any supported word is."""
FALLBACK = "mixed"


@dataclass(frozen=True)
class Rules:
    """How names are chosen; `label.tags` documents each as an option."""

    max_words: int = 3
    min_support: float = 0.4
    evidence: float = 0.2
    contrast: float = 0.3


@dataclass(frozen=True)
class Choice:
    """The name of a cluster.

    Attributes:
        label: distinct among all clusters.
        word: index of the word behind it, None where no word has enough support.
        qualifier: index of the word in brackets: it tells the cluster from one of the same word, or is what a "mixed"
            cluster shows most.
        support: members that show `word`; where there is none, members that show `qualifier`.
        runners: indices of the next best words.
    """

    label: str
    word: int | None
    qualifier: int | None
    support: int
    runners: tuple[int, ...]


@dataclass
class Evidence:
    """What the probabilities say about clusters and words.

    Attributes:
        clusters: numbers of the clusters, ascending; noise left out.
        sizes: members of each.
        classes: mean probability of each class in each cluster, (clusters, 1000).
        whole: mean probability of each word in the whole set, noise included.
        mass: the same in each cluster, (clusters, words).
        prior: share of each word's classes among the 1000.
        reference: what the mass of a word is compared with: a mixture of `whole` and `prior`, which keeps wide words cheap
            and gives a lone cluster a name.
        score: bits that a word tells: `weight * mass * log2(mass / reference)`, a term of a Kullback-Leibler divergence. It
            grows with how much of the cluster the word covers and with how special that is, so it neither climbs to
            "animals" nor clings to one class.
    """

    words: tuple[Word, ...]
    probabilities: "NDArray[np.float32]"
    members: "list[NDArray[np.intp]]"
    clusters: "NDArray[np.int32]"
    rules: Rules
    covers: "Floats" = field(init=False)
    sizes: "NDArray[np.intp]" = field(init=False)
    classes: "Floats" = field(init=False)
    whole: "Floats" = field(init=False)
    mass: "Floats" = field(init=False)
    prior: "Floats" = field(init=False)
    reference: "Floats" = field(init=False)
    score: "Floats" = field(init=False)

    def __post_init__(self) -> None:
        """Average and score."""
        self.covers = membership(self.words)
        self.sizes = np.array([len(rows) for rows in self.members], dtype=np.intp)
        self.classes = np.stack([self.probabilities[rows].mean(axis=0, dtype=np.float64) for rows in self.members])
        self.whole = self.probabilities.mean(axis=0, dtype=np.float64) @ self.covers
        self.mass = self.classes @ self.covers
        self.prior = self.covers.mean(axis=0)
        self.reference = self.rules.contrast * self.whole + (1 - self.rules.contrast) * self.prior
        weights = np.array([word.weight for word in self.words])
        short = np.array([len(word.name.split()) <= self.rules.max_words for word in self.words])
        self.score = np.where(short, weights * bits(self.mass, self.reference), 0.0)

    def candidates(self, index: int) -> "NDArray[np.intp]":
        """Return the words that tell most about a cluster, best first."""
        best = np.argsort(-self.score[index], kind="stable")[:CANDIDATES]
        return np.asarray(best[self.score[index][best] >= MIN_BITS])

    def special(self, index: int, words: "NDArray[np.intp]") -> "NDArray[np.bool_]":
        """Return which words are clearly more probable in a cluster than in the whole set."""
        return np.asarray(self.mass[index][words] >= MIN_LIFT * self.whole[words])

    def support(self, index: int, words: "NDArray[np.intp]") -> "NDArray[np.intp]":
        """Return how many members show each word; a very wide word must be surer, for it gets much by chance."""
        given = self.probabilities[self.members[index]] @ self.covers[:, words].astype(np.float32)
        needed = np.maximum(self.rules.evidence, 1.25 * self.prior[words])
        return np.asarray((given >= needed).sum(axis=0))

    def shared(self, index: int, words: "NDArray[np.intp]", others: "NDArray[np.intp]") -> "Floats":
        """Return how far two words mean the same members: an array (words, others) from 0 to 1 (weighted Jaccard)."""
        both = (self.covers[:, words] * self.classes[index][:, None]).T @ self.covers[:, others]
        either = self.mass[index][words][:, None] + self.mass[index][others][None, :] - both
        return np.asarray(both / np.maximum(either, 1e-12))


def gather(rows: "pa.Table", rules: Rules) -> Evidence | None:
    """Return the evidence of rows with `cluster` and `probabilities`; None where no image lies in a cluster."""
    numbers = rows["cluster"].to_numpy()
    clusters, sizes = np.unique(numbers[numbers >= 0], return_counts=True)
    if not len(clusters):
        return None
    order = np.argsort(numbers, kind="stable")
    members = np.split(order[len(numbers) - sizes.sum() :], np.cumsum(sizes)[:-1])
    return Evidence(vocabulary(), to_numpy(rows["probabilities"]), members, clusters, rules)


def bits(mass: "Floats", reference: "Floats") -> "Floats":
    """Return `mass * log2(mass / reference)`, 0 where there is no mass."""
    safe = np.maximum(mass, 1e-12)
    return np.asarray(np.where(mass > 0, safe * np.log2(safe / np.maximum(reference, 1e-12)), 0.0))


class Namer:
    """Gives names greedily: the cluster that a word tells most about takes it; later ones must differ from it."""

    def __init__(self, evidence: Evidence, known: Mapping[int, str] | None = None) -> None:
        """Find each cluster's supported words.

        Args:
            evidence: what the probabilities say.
            known: names, by the cluster's index, of those that have one from elsewhere: they need no word, and others are
                not called so, nor by its plural, while they have another word.
        """
        self.evidence = evidence
        self.known = known or {}
        self.given: dict[int, int] = {}  # cluster index -> word index, in the order of giving
        self.labels: set[str] = set(self.known.values())
        self.options: list[NDArray[np.intp]] = []
        taken = {key_of(name.split()) for name in self.known.values()}
        for index, size in enumerate(evidence.sizes):
            if index in self.known:
                self.options.append(np.empty(0, dtype=np.intp))
                continue
            words = evidence.candidates(index)
            enough = evidence.support(index, words) >= max(evidence.rules.min_support * float(size), 1)
            special = enough & evidence.special(index, words)
            words = words[special if special.any() else enough]  # a set of nothing but fish is still fish
            free = np.array([key_of(evidence.words[word].name.split()) not in taken for word in words], dtype=bool)
            self.options.append(words[free] if free.any() else words)

    def names(self) -> list[Choice]:
        """Return a choice for each cluster, in the order of `evidence.clusters`."""
        self._give_words()
        order = sorted(range(len(self.options)), key=lambda index: (-self._best(index), index))
        choices: dict[int, Choice] = {}
        # Plain words first: a qualified or numbered name may not take one away.
        for index in sorted(order, key=lambda index: index not in self.given):
            choices[index] = self._choice(index)
        return [choices[index] for index in range(len(self.options))]

    def _best(self, index: int) -> float:
        words = self.options[index]
        return float(self.evidence.score[index][words[0]]) if len(words) else 0.0

    def _give_words(self) -> None:
        waiting = [(-self._best(i), i, int(words[0])) for i, words in enumerate(self.options) if len(words)]
        heapq.heapify(waiting)
        while waiting:
            _, index, word = heapq.heappop(waiting)
            free = self._free(index)
            if not len(free):
                continue  # `_choice` qualifies its word
            best = int(free[0])
            if best == word:
                self.given[index] = word
            else:
                heapq.heappush(waiting, (-float(self.evidence.score[index][best]), index, best))

    def _free(self, index: int) -> "NDArray[np.intp]":
        """Return the words of a cluster that still set it apart from those named already, best first.

        A word that means the same members as a rival's name must tell enough about this cluster against that rival:
        "hand tools" does not beside "tools", "animals" does beside "dogs".
        """
        evidence, words = self.evidence, self.options[index]
        if not self.given:
            return words
        rivals, taken = np.array(list(self.given)), np.array(list(self.given.values()))
        same = evidence.shared(index, words, taken) >= SAME
        rival_mass = np.where(same, evidence.mass[np.ix_(rivals, words)].T, 0.0).max(axis=1)
        told = bits(evidence.mass[index][words], np.maximum(evidence.reference[words], rival_mass))
        apart = told >= KEEP * self._best(index)
        return np.asarray(words[apart & ~np.isin(words, taken)])

    def _choice(self, index: int) -> Choice:
        evidence, options = self.evidence, self.options[index]
        if index in self.known:
            return Choice(self.known[index], None, None, 0, ())
        if not len(options):
            return self._mixed(index)
        word = self.given.get(index, int(options[0]))
        qualifier = None if index in self.given else self._qualifier(index, word)
        if index not in self.given and qualifier is None:  # a broader word that nobody has is better than a number
            word = next((int(other) for other in options if evidence.words[other].name not in self.labels), word)
        name = evidence.words[word].name
        label = name if qualifier is None else f"{name} ({evidence.words[qualifier].name})"
        support = int(evidence.support(index, np.array([word]))[0])
        runners = tuple(int(other) for other in options if other not in (word, qualifier))
        return Choice(self._claim(label), word, qualifier, support, runners)

    def _mixed(self, index: int) -> Choice:
        """Return the name of a cluster without a supported word: "mixed", with the best half-supported word behind it."""
        evidence = self.evidence
        words = evidence.candidates(index)
        counts = evidence.support(index, words)
        half = max(2.0, evidence.rules.min_support * float(evidence.sizes[index]) / 2)
        fits = self._fits(words, evidence.rules.max_words - 1) & (counts >= half)
        labels = {int(word): f"{FALLBACK} ({evidence.words[word].name})" for word in words[fits]}
        best = next((word for word, label in labels.items() if label not in self.labels), next(iter(labels), None))
        label = FALLBACK if best is None else labels[best]
        support = 0 if best is None else int(counts[words == best][0])
        return Choice(self._claim(label), None, best, support, tuple(int(word) for word in words if word != best))

    def _fits(self, words: "NDArray[np.intp]", room: int) -> "NDArray[np.bool_]":
        return np.array([len(self.evidence.words[word].name.split()) <= room for word in words], dtype=bool)

    def _qualifier(self, index: int, word: int) -> int | None:
        """Return the word that best tells this cluster from the others with the same word, within `max_words`."""
        evidence = self.evidence
        rivals = [other for other, given in self.given.items() if given == word] or list(self.given)
        words = evidence.candidates(index)
        enough = evidence.support(index, words) >= min(2, evidence.sizes[index])
        room = evidence.rules.max_words - len(evidence.words[word].name.split())
        part = evidence.covers[:, words].T @ evidence.covers[:, word] > 0  # "birds (magpie)", never "birds (hunting bow)"
        other = evidence.shared(index, words, np.array([word]))[:, 0] < SAME
        words = words[enough & part & other & self._fits(words, room)]
        if not len(words):
            return None
        rival_mass = evidence.mass[np.ix_(rivals, words)].max(axis=0)
        scores = bits(evidence.mass[index][words], np.maximum(evidence.reference[words], rival_mass))
        best = int(np.argmax(scores))
        return int(words[best]) if scores[best] > 0 else None

    def _claim(self, label: str) -> str:
        number, free = 1, label
        while free in self.labels:
            number += 1
            free = f"{label} {number}"
        self.labels.add(free)
        return free
