"""Nouns and the broader words that people say for them: what `nouns.tsv` says."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from shoal_plugins.label._terms import holds, key_of, singular

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
    """

    meant: Mapping[str, tuple[Word, ...]]

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

    def adds_nothing(self, noun: str, words: Sequence[str]) -> bool:
        """Tell whether a noun says no more than some words do: "tool" after "hand tools", "animal" after "dogs"."""
        sought = key_of(noun.split())
        meant = self.meant.get(self._key([word.lower() for word in words]) or "", ()) if words else ()
        return holds(key_of(words), sought) or any(key_of(word.shown.split()) == sought for word in meant)

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
    broader = {name: Word(name, count / len(names), broader=True) for name, count in counts.items()}
    return Nouns(
        {
            key: (Word(noun, 1 / len(names), broader=False), *(broader[name] for name in sorted(names[key])))
            for key, noun in shown.items()
        }
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
