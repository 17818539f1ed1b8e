"""Fill the last two columns of `nouns.tsv` from WordNet: `python -m shoal_plugins.label.make_nouns DATA_NOUN INDEX_NOUN`.

People edit the first two columns: the broader word as a person says it, and what it is made of (WordNet noun synsets such
as `n09394007`; with a star behind it their instances count, too). This tool looks up which nouns lie under those synsets,
so that naming clusters needs no WordNet at run time. The files are `data.noun` and `index.noun` of WordNet 3.0 (Debian:
package `wordnet-base`). Their format: https://wordnet.princeton.edu/documentation/wndb5wn.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shoal.errors import UsageError

SENSES = 3
"""Senses of a noun that count, the commonest first: Mercury the planet is its third, and later ones nobody means."""
NOUN = re.compile(r"[a-z]{2,}(_[a-z]{2,}){0,2}")
"""One to three plain words."""


@dataclass
class WordNet:
    """Synsets by number, `n` and eight digits.

    Attributes:
        written: the words of each synset, as they are written.
        kinds: the synsets right below each.
        instances: single things that have a name (planets, mountains) right below each.
        senses: synsets of each noun in lower case, the commonest first.
        common: words that are written in lower case: no names, and no Latin.
    """

    written: dict[str, list[str]] = field(default_factory=dict)
    kinds: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    instances: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    senses: dict[str, list[str]] = field(default_factory=dict)
    common: set[str] = field(default_factory=set)

    def under(self, made_of: str) -> set[str]:
        """Return the synsets at or below those that `n09394007* n09358358` means.

        Raises:
            UsageError: there is no such synset.
        """
        found: set[str] = set()
        for token in made_of.split():
            synset, todo = token.removesuffix("*"), [token.removesuffix("*")]
            if synset not in self.written:
                raise UsageError(f"this data.noun has no synset {synset}; take the file of WordNet 3.0")
            while todo:
                below = todo.pop()
                found.add(below)
                todo += self.kinds.get(below, ())
                todo += self.instances.get(below, ()) if token.endswith("*") else ()
        return found

    def nouns(self, synsets: set[str]) -> set[str]:
        """Return the nouns of synsets, without those that end in another of them: a polar bear is a bear anyway."""
        written = ((word, synset) for synset in synsets for word in self.written[synset])
        found = {noun for word, synset in written for noun in [self._noun(word, synset)] if noun}
        return {noun for noun in found if not any(end in found for end in _ends(noun))}

    def _noun(self, word: str, synset: str) -> str | None:
        """Return a word as a noun; None where people don't say it or hardly mean this by it."""
        noun = word.lower().replace("-", "_")
        *first, last = word.replace("-", "_").split("_")
        latin = any(part != part.lower() for part in first) and last.lower() == last not in self.common  # Canis familiaris
        meant = synset in self.senses.get(word.lower(), [])[:SENSES]
        return noun if NOUN.fullmatch(noun) and meant and not latin else None


def read(data: str, index: str) -> WordNet:
    """Return what the texts of `data.noun` and `index.noun` say."""
    found = WordNet()
    for line in _entries(data):
        fields = line.split(" | ")[0].split()
        synset, first = f"n{fields[0]}", 4 + 2 * int(fields[3], 16)  # behind the words, each with its lexical id
        found.written[synset] = fields[4:first:2]
        found.common.update(word for word in found.written[synset] if word == word.lower())
        for place in range(first + 1, first + 1 + 4 * int(fields[first]), 4):
            below = {"@": found.kinds, "@i": found.instances}.get(fields[place])
            if below is not None:
                below[f"n{fields[place + 1]}"].append(synset)
    for line in _entries(index):
        noun, _, count, *rest = line.split()
        found.senses[noun] = [f"n{offset}" for offset in rest[len(rest) - int(count) :]]
    return found


def fill(table: str, wordnet: WordNet) -> str:
    """Return the text of `nouns.tsv` with its last two columns made anew."""
    rows = [line.split("\t")[:2] for line in table.splitlines() if line and not line.startswith("#")]
    synsets = {name: wordnet.under(made_of) for name, made_of in rows}
    nouns = {name: wordnet.nouns(under) for name, under in synsets.items()}
    made = {name: f"{name}\t{made_of}\t{_columns(name, synsets, nouns)}" for name, made_of in rows}
    lines = (line if line.startswith("#") or not line else made[line.split("\t")[0]] for line in table.splitlines())
    return "\n".join(lines) + "\n"


def _columns(name: str, synsets: Mapping[str, set[str]], nouns: Mapping[str, set[str]]) -> str:
    wider = [other for other, under in synsets.items() if synsets[name] < under]
    narrower = [nouns[other] for other, under in synsets.items() if under < synsets[name]]
    return f"{', '.join(wider)}\t{' '.join(sorted(nouns[name].difference(*narrower)))}"


def _ends(noun: str) -> Iterator[str]:
    words = noun.split("_")
    return ("_".join(words[start:]) for start in range(1, len(words)))


def _entries(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line and not line.startswith("  "))  # the licence is indented


def main(arguments: Sequence[str]) -> None:
    """Rewrite `nouns.tsv` beside this file."""
    if len(arguments) != 2:
        raise UsageError("say where WordNet lies: python -m shoal_plugins.label.make_nouns DATA_NOUN INDEX_NOUN")
    data, index = (Path(argument).read_text("ascii", "replace") for argument in arguments)
    target = Path(__file__).with_name("nouns.tsv")
    target.write_text(fill(target.read_text("utf-8"), read(data, index)), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
