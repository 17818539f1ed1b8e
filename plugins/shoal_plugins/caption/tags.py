"""`caption.tags`: a sentence from an image's ImageNet tags, where no vision-language model is at hand."""

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from shoal.contract import Batch, Context, Stage
from shoal.errors import StageError
from shoal.hooks import hookimpl
from shoal.kinds import Captioner
from shoal.schema import columns, vector
from shoal.vectors import to_numpy
from shoal_plugins.label._words import CLASSES, Word, best_class_name, membership, vocabulary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHANCE = 2 / CLASSES
"""A class under twice its chance is not even a guess."""
OFTEN = 1.25
"""A wide word gathers much by chance: it must be so many times as probable as its share of the classes."""
ABOVE = 2
"""Broader words behind the first: "fish ...; animals" says more than a list of all that holds."""


class Tags(Captioner):
    """Say what an image shows in a sentence made of its ImageNet tags: no picture is looked at again, no model loaded.

    "Fish: coho salmon (41 %), sturgeon (17 %), gar (9 %); animals." The probabilities of the 1000 ImageNet classes come
    from `embed.lite0`. First stands the broader word that tells most among those whose classes together are probable
    enough, then the likeliest of its classes, then wider words for it, then likely classes of other kinds. An image that
    nothing fits well is "Unclear: perhaps ..."; where no class is likelier than by chance there is no caption.

    Take it when no vision-language model is at hand: it costs nothing. It is no description: it knows neither action,
    light nor viewpoint, counts nothing, and has no word outside ImageNet's thousand classes (there is no wind turbine and
    no planet among them), so that it names such images by what they look like. The run's record says so.
    """

    name: ClassVar[str] = "tags"
    consumes: ClassVar[pa.Schema] = columns(probabilities=vector(CLASSES))
    shorthand: ClassVar[str | None] = "tags"

    tags: int = Field(3, ge=1, le=20, description="Classes named at most, the likeliest first.")
    min_probability: float = Field(0.05, ge=0, le=1, description="Probability from which on a class is named.")
    broader: float = Field(
        0.2,
        gt=0,
        le=1,
        description='Probability from which on a broader word ("fish", "tools") is named, summed over its classes; at '
        "least 1.25 times its share of ImageNet's classes, so 0.5 for animals.",
    )
    style: Literal["sentence", "words"] = Field(
        "sentence", description="`sentence` tells probabilities; `words` is the words alone, the same ones, by commas."
    )

    def identity(self) -> dict[str, Any]:
        """Return the options and a hash of the words: another list of words makes other sentences."""
        return {**super().identity(), "words": _digest()}

    def setup(self, context: Context) -> None:
        """Note what the captions are."""
        context.note("backend", "tags")
        context.note("captions", "made of ImageNet tags, not written by a vision-language model")

    def map(self, batch: Batch) -> pa.Table:
        """Return a sentence an image.

        Raises:
            StageError: a probability is missing or no number from 0 to 1.
        """
        if batch.rows["probabilities"].null_count:
            raise StageError("an image has no ImageNet probabilities; let embed.lite0 make them in a step before this one")
        captions = [self._caption(row) for row in to_numpy(batch.rows["probabilities"])]
        return pa.table([pa.array(captions, pa.string())], schema=self.produces())

    def _caption(self, probabilities: "NDArray[np.float32]") -> str | None:
        import numpy as np

        if not (np.isfinite(probabilities).all() and probabilities.min() >= 0 and probabilities.max() <= 1 + 1e-3):
            raise StageError("a probability is no number from 0 to 1; run the embedder that made it again (--force)")
        order = [int(number) for number in np.argsort(-probabilities, kind="stable")[: self.tags]]
        sure = [number for number in order if probabilities[number] >= max(self.min_probability, CHANCE)]
        chain = self._broader(probabilities)
        if not sure and not chain:
            return self._unclear([best_class_name(number) for number in order if probabilities[number] >= CHANCE])
        head, *above = [word.name for word in chain] or [""]
        narrow = [number for number in sure if best_class_name(number) not in (head, *above)]
        within = {number for number in narrow if chain and number in chain[0].classes}
        listed = [
            ", ".join(self._told(probabilities, number) for number in narrow if (number in within) == inside)
            for inside in (True, False)
        ]
        if self.style == "words":
            return ", ".join(part for part in (head, *listed, *above) if part)
        first = ": ".join(part for part in (head, listed[0]) if part)
        return _sentence("; ".join(part for part in (first, ", ".join(above), listed[1]) if part))

    def _told(self, probabilities: "NDArray[np.float32]", number: int) -> str:
        name = best_class_name(number)
        return name if self.style == "words" else f"{name} ({100 * probabilities[number]:.0f} %)"

    def _unclear(self, guesses: list[str]) -> str | None:
        """Return what is said where nothing is likely; None where not even a guess is, for all such would read alike."""
        if not guesses:
            return None
        return ", ".join(guesses) if self.style == "words" else f"Unclear: perhaps {', '.join(guesses)}."

    def _broader(self, probabilities: "NDArray[np.float32]") -> list[Word]:
        """Return the broader words that hold: the one that tells most, then wider ones of its kind, the narrowest first.

        What a word tells is `weight * p * log2(p / share of classes)`, as `label.tags` weighs words.
        """
        import numpy as np

        words, covers, prior, weights = _broad_words()
        mass = np.minimum(covers @ probabilities.astype(np.float64), 1.0)
        holds = np.flatnonzero(mass >= np.maximum(self.broader, OFTEN * prior))
        if not len(holds):
            return []
        told = weights[holds] * mass[holds] * np.log2(np.maximum(mass[holds] / prior[holds], 1e-12))
        best = int(holds[np.argmax(told)])
        akin = covers[holds] @ covers[best] > 0
        wider = [other for other in holds[akin] if prior[other] > prior[best] and weights[other] == 1]
        chain = sorted(wider, key=lambda other: (prior[other], words[other].name))[:ABOVE]
        return [words[number] for number in (best, *chain)]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


@cache
def _broad_words() -> "tuple[tuple[Word, ...], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]":
    """Return the words for several classes, an array (words, 1000) of what they cover, their share of it, their weights."""
    import numpy as np

    words = tuple(word for word in vocabulary() if len(word.classes) > 1)
    covers = np.ascontiguousarray(membership(words).T)
    return words, covers, covers.mean(axis=1), np.array([word.weight for word in words])


@cache
def _digest() -> str:
    told = [*vocabulary(), *(best_class_name(number) for number in range(CLASSES))]
    return hashlib.sha256(repr(told).encode()).hexdigest()


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the captioner."""
    return (Tags,)
