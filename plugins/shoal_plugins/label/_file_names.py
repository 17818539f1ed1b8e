"""What the file names of a cluster's images say, where half of them agree: "planets" for earth.webp, mars.webp, venus.webp.

A noun that nearly all of them share, and nearly no others, is stronger: somebody called these images that.

File names are other people's text. Nothing of them goes on but nouns of `nouns.tsv`, as these stand there.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shoal_plugins.label._nouns import Word, nouns

AGREE = 0.5
"""Part of a cluster's images that must agree on a word."""
LEAST = 2
"""Images that must agree on a word: one name alone is no agreement."""
APART = 2
"""A word must be this many times as common in a cluster as in the rest of the set: names that begin with "Rose" everywhere,
as the photographer is called so, tell nothing of flowers."""
NEARLY = 0.8
"""A word must fit this part of the images that the best one fits: four owls among eight animals don't make it birds."""
NEARLY_ALL = 0.9
"""Part of a cluster's images that share a noun when somebody named them by what they show; also the part that agrees on
another word when nobody should doubt it."""
LEAST_SHARED = 5
"""Images that share such a noun: "rose" of three may be a person."""
OWN = 10
"""Such a noun is this many times as common in a cluster as in the rest of the set: it sets these images apart."""
EXAMPLES = 3
"""Nouns that a reason tells."""
READ = 256
"""Characters of a file name that are read."""

TECHNICAL = frozenset({
    "camera", "canon", "clip", "crop", "drone", "feed", "file", "galaxy", "mask", "may", "phone", "picture", "satellite",
    "scanner", "shot", "snap", "train", "webcam",
})  # fmt: skip
"""Nouns that cameras, phones, programs, data sets and dates put into file names."""

PROPER = frozenset({
    "alexander", "angelica", "basil", "bath", "ben", "berlin", "billy", "bob", "bordeaux", "brad", "brandy", "brazil",
    "brent", "buck", "bud", "burgundy", "champagne", "charlotte", "chile", "chuck", "clarence", "cliff", "cotswold",
    "daisy", "dale", "daphne", "derby", "dolly", "drake", "emery", "erica", "etna", "frank", "geneva", "ginger", "graham",
    "gray", "guernsey", "guinea", "hampshire", "hazel", "heather", "herb", "hereford", "holly", "hunter", "indus", "iris",
    "ivy", "jade", "jasmine", "java", "jay", "jean", "jennet", "jenny", "jersey", "jock", "john", "jolly", "kit", "kitty",
    "lance", "laurel", "leo", "lily", "lincoln", "liza", "mac", "mack", "madeira", "marc", "margarita", "maria", "mavis",
    "merle", "merlin", "mina", "molly", "newfoundland", "niagara", "nova", "olive", "opal", "panama", "patty", "pearl",
    "peg", "penny", "phoebe", "poppy", "ramona", "robin", "rose", "rosemary", "rowan", "ruby", "sam", "savoy", "sienna",
    "sierra", "spa", "teddy", "timothy", "toby", "tom", "turkey", "veronica", "vesuvius", "victoria", "viola", "violet",
    "warren", "willow", "winchester",
})  # fmt: skip
"""Nouns that are as often somebody's name or a place's: where captions agree they do not come first."""

_CHUNK = re.compile(r"\d*([A-Za-z]+)\d*")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_HASH = re.compile(r"(?=.*\d)[0-9a-f]{16,}")


@dataclass(frozen=True)
class Agreed:
    """A word that images agree on.

    Attributes:
        word: broader than their names ("planets"), or a noun that they share ("hammer").
        said: what it rests on, in words: the beginning of a reason.
        share: part of the cluster's images that agree.
    """

    word: str
    said: str
    share: float


def words(path: str) -> list[str]:
    """Return the words of a path's last part without its extension, in lower case: `tajMahal_2.jpg` gives taj, mahal.

    Digits, hashes and words with letters beyond a to z say nothing; folders are not looked at, as they may be the truth
    that a clustering is compared with.
    """
    name = re.split(r"[\\/]", path)[-1][:READ]
    stem = name.rpartition(".")[0] or name
    if _HASH.fullmatch(re.sub(r"[\W_]", "", stem.lower())):
        return []
    chunks = (_CHUNK.fullmatch(chunk) for chunk in re.split(r"[\W_]+", stem))
    return [word.lower() for chunk in chunks if chunk for word in _CAMEL.findall(chunk[1])]


def named(paths: Iterable[str]) -> frozenset[str]:
    """Return the nouns that the names of an image hold, as keys of the vocabulary."""
    return frozenset(noun for path in paths for noun in nouns().find(words(path)) if noun not in TECHNICAL)


class FileNames:
    """The words of all file names of a set, nouns and the broader words for them, counted by cluster."""

    def __init__(self, clusters: Sequence[int], paths: Sequence[Sequence[str] | None]) -> None:
        """Read the names.

        Args:
            clusters: number of each image's cluster, -1 for noise.
            paths: where each image was found.
        """
        self._images = Counter(clusters)
        self._nouns: dict[int, Counter[str]] = defaultdict(Counter)
        self._words: dict[int, Counter[Word]] = defaultdict(Counter)
        for cluster, where in zip(clusters, paths, strict=True):
            found = named(where or ())
            self._nouns[cluster].update(found)
            self._words[cluster].update({word for noun in found for word in nouns().meant[noun]})
        self._total = self._images.total()
        self._everywhere: Counter[Word] = Counter()
        for counted in self._words.values():
            self._everywhere.update(counted)

    def agreed(self, cluster: int) -> Agreed | None:
        """Return the narrowest word that fits half of a cluster's images and nearly as many as any, if there is one.

        The narrowest is the one that the fewest nouns mean: it is the least likely to fit by chance.
        """
        fitting = self._fitting(cluster, max(LEAST, AGREE * self._images[cluster]), APART)
        if not fitting:
            return None
        enough = NEARLY * max(fitting.values())
        narrow = [word for word in fitting if fitting[word] >= enough]
        word = min(narrow, key=lambda word: (word.chance, -fitting[word], word.shown, word.broader))
        return self._told(cluster, word)

    def shared(self, cluster: int) -> Agreed | None:
        """Return the noun that nearly all names of a cluster hold and nearly no others, if there is just one: "windmill".

        Where all images are one cluster there are no others, so that nothing tells whether the noun is this cluster's own.
        """
        if self._images[cluster] == self._total:
            return None
        fitting = self._fitting(cluster, max(LEAST_SHARED, NEARLY_ALL * self._images[cluster]), OWN)
        found = [word for word in fitting if not word.broader and word.shown not in PROPER]
        return self._told(cluster, found[0]) if len(found) == 1 else None

    def _fitting(self, cluster: int, least: float, apart: float) -> dict[Word, int]:
        """Return how many images of a cluster each word fits that fits so many and is so much commoner than in the rest."""
        size = self._images[cluster]
        others = self._total - size
        return {
            word: images
            for word, images in self._words[cluster].items()
            if images >= least and images * others >= apart * (self._everywhere[word] - images) * size
        }

    def _told(self, cluster: int, word: Word) -> Agreed:
        """Return a word with what it rests on."""
        size, fitting = self._images[cluster], self._words[cluster][word]
        others = self._total - size
        examples = f" ({', '.join(self._examples(cluster, word))})" if word.broader else ""
        rest = f" and {self._everywhere[word] - fitting:,} of {others:,} others" if others else ""
        said = f'"{word.shown}" fits the file names of {fitting:,} of {size:,} images{examples}{rest}'
        return Agreed(word.shown, said, fitting / size)

    def _examples(self, cluster: int, broader: Word) -> list[str]:
        """Return the commonest nouns of a broader word, of equals by the alphabet."""
        counts = {noun: count for noun, count in self._nouns[cluster].items() if broader in nouns().meant[noun]}
        return [nouns().meant[noun][0].shown for noun in sorted(counts, key=lambda noun: (-counts[noun], noun))[:EXAMPLES]]
