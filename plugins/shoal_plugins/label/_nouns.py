"""Nouns and the broader words that people say for them: what `nouns.tsv` says."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product

from shoal_plugins.label._terms import holds, key_of, singular

Key = tuple[str, ...]

MOSTLY = 0.8
"""Part of a broader word's nouns that another one stands for as well when it is the wider of the two."""
LONGEST = 3
"""Words of a noun at most."""


@dataclass(frozen=True, eq=False)
class Word:
    """A noun, or a broader word for some. There is one object of each, compared by identity: sets of many names stay fast.

    Attributes:
        shown: as people write it: "polar bear", "bears".
        chance: part of the nouns that mean it; a wide word is met by chance.
        broader: whether it stands for several nouns.
    """

    shown: str
    chance: float
    broader: bool


@dataclass(frozen=True)
class Nouns:
    """A vocabulary.

    Attributes:
        meant: by each noun without its spaces, "polarbear": itself, and the broader words for it.
        wider: by the key of each broader word those of the words above it, and its own: "animal" is above "dog", as nearly
            all nouns that mean dogs mean animals, too.
    """

    meant: Mapping[str, tuple[Word, ...]]
    wider: Mapping[Key, frozenset[Key]]

    def find(self, words: Sequence[str]) -> Iterator[str]:
        """Yield the nouns, as keys of `meant`, that a row of words holds; a longer one in place of its words.

        Args:
            words: in lower case; the last of a noun may be in the plural.
        """
        start = 0
        while start < len(words):
            ends = range(min(start + LONGEST, len(words)), start, -1)
            found = next(((key, end) for end in ends if (key := self._key(words[start:end]))), None)
            if found:
                yield found[0]
            start = found[1] if found else start + 1

    def says_more(self, noun: str, words: Sequence[str]) -> bool:
        """Tell whether a noun is a kind of what some words say, or something else, as far as the vocabulary shows.

        "dog" says more than "animals", and "windmill" than "towers". "animal" and "canine" do not say more than "hound", nor
        "tool" than "hand tools", nor does "poodle" than "hound": of nouns with the same broader words nothing tells which is
        the wider. Of something else a broader word, such as "vehicle", never says more: not each thing that it
        stands for is known.
        """
        own, said, above = key_of(noun.split()), key_of(words), self._above(noun.split())
        if said in above - {own}:
            return True
        if holds(said, own) or own in self.wider:
            return False
        theirs = self._above([word.lower() for word in words])
        return not theirs or not above <= theirs or not all(self.wider[key] & above for key in theirs)

    def _above(self, words: Sequence[str]) -> set[Key]:
        """Return the keys of the broader words for the noun that words end in: "Golden Retriever" is a retriever."""
        ends = (self._key(words[start:]) for start in range(len(words)))
        noun = next((key for key in ends if key), None)
        return {key_of(word.shown.split()) for word in self.meant[noun][1:]} if noun else set()

    def _key(self, words: Sequence[str]) -> str | None:
        """Return the noun that words are together."""
        *before, last = words
        return next((key for form in (last, singular(last)) if (key := "".join([*before, form])) in self.meant), None)


def parse(table: str) -> Nouns:
    """Return what the text of `nouns.tsv` says."""
    shown: dict[str, str] = {}
    names: dict[str, set[str]] = {}
    for line in table.splitlines():
        if line and not line.startswith("#"):
            name, _, wider, nouns = line.split("\t")
            for noun in nouns.split():
                key = noun.replace("_", "")
                shown.setdefault(key, noun.replace("_", " "))
                names.setdefault(key, set()).update([name, *filter(None, wider.split(", "))])
    counts = Counter(name for above in names.values() for name in above)
    both = Counter(pair for above in names.values() for pair in product(above, repeat=2))
    broader = {name: Word(name, count / len(names), broader=True) for name, count in counts.items()}
    return Nouns(
        {
            key: (Word(noun, 1 / len(names), broader=False), *(broader[name] for name in sorted(names[key])))
            for key, noun in shown.items()
        },
        {
            key_of(one.split()): frozenset(
                key_of(other.split()) for other in counts if both[one, other] >= MOSTLY * counts[one]
            )
            for one in counts
        },
    )


def _text() -> str:
    return files(__package__).joinpath("nouns.tsv").read_text("utf-8")


@cache
def nouns() -> Nouns:
    """Return the vocabulary."""
    return parse(_text())


@cache
def digest() -> str:
    """Return a hash of the vocabulary: other words make other labels."""
    return hashlib.sha256(_text().encode()).hexdigest()[:16]
