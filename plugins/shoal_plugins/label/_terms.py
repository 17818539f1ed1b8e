"""Keywords as hostile text made plain, and as keys under which those that mean the same meet."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from shoal.text import plain

LONGEST = 80
"""Characters of a keyword; what is longer is no keyword."""

_IGNORED = re.compile(r"[^\w'\u2019&+#.\-]|_")
_EDGES = "'\u2019&+#.-"
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


@dataclass(frozen=True)
class Term:
    """A keyword.

    Attributes:
        key: its words in one case and number: what it is known by.
        shown: as it is written in a label.
    """

    key: tuple[str, ...]
    shown: str


def term(keyword: str, most_words: int) -> Term | None:
    """Return a keyword as a term, or None where nothing of it is left.

    Letters, digits and marks of every script stay, and `' & + # . -` inside a word; all else goes, so that no keyword is
    a path, a formula or a tag. Words beyond `most_words` are cut off.
    """
    flat = plain(unicodedata.normalize("NFKC", keyword), 20 * LONGEST)
    words = [word.strip(_EDGES) for word in _IGNORED.sub(" ", flat).split()]
    words = [word for word in words if word][:most_words]
    while words and len(" ".join(words)) > LONGEST:
        words.pop()
    if not any(character.isalpha() for word in words for character in word):
        return None
    return Term(key_of(words), " ".join(words))


def key_of(words: Sequence[str]) -> tuple[str, ...]:
    """Return what words are known by."""
    return tuple(singular(word.casefold()) for word in words)


_IRREGULAR = {
    "wolves": "wolf", "knives": "knife", "leaves": "leaf", "shelves": "shelf", "calves": "calf", "loaves": "loaf",
    "scarves": "scarf", "hooves": "hoof", "elves": "elf", "dwarves": "dwarf", "thieves": "thief", "wives": "wife",
    "buses": "bus", "gases": "gas", "geese": "goose", "mice": "mouse", "feet": "foot", "teeth": "tooth", "oxen": "ox",
    "men": "man", "women": "woman", "children": "child", "potatoes": "potato", "tomatoes": "tomato",
    "volcanoes": "volcano", "mangoes": "mango", "heroes": "hero", "tornadoes": "tornado", "buffaloes": "buffalo",
    "mosquitoes": "mosquito", "torpedoes": "torpedo",
}  # fmt: skip


def singular(word: str) -> str:
    """Return a word without an English plural's ending; a word of another language at most loses its last s, everywhere."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or not word.isascii() or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    return word.removesuffix("s")


def holds(longer: tuple[str, ...], shorter: tuple[str, ...]) -> bool:
    """Tell whether a key says all that another says: its words side by side, or, without spaces, its characters."""
    if len(shorter) == 1 and _CJK.search(shorter[0]):
        return any(shorter[0] in word for word in longer)
    width = len(shorter)
    return any(longer[start : start + width] == shorter for start in range(len(longer) - width + 1))


def overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Tell whether two keys share a word or hold one another, so that a label with both would say a thing twice."""
    return bool(set(one) & set(other)) or holds(one, other) or holds(other, one)
