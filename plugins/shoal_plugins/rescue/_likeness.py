"""How like noise images are to clusters: by cosine, in blocks, and what is likest and next."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal_plugins.reduce._matrix import blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal_plugins.rescue._texts import TextEmbedder

    Floats = NDArray[np.float32]
    Numbers = NDArray[np.int64]

LONGEST = 8000
"""Characters of a text that are read; models read fewer."""
BLOCK = 1024
"""Texts, and noise images, that are held as vectors at once."""

DIGITS = 5
"""Decimals of a cosine; what lies beyond is rounding, and would part clusters that are equally like."""
TIE = 1.5 * 10.0**-DIGITS
"""Margins up to this are none."""


@dataclass(frozen=True)
class Ranking:
    """The likest cluster of each row and the next: places among the clusters, -1 for none; scores, NaN for none."""

    best: "Numbers"
    score: "Floats"
    runner_up: "Numbers"
    runner_up_score: "Floats"

    def take(self, places: "Numbers") -> "Ranking":
        """Return the rows at `places`; -1 is a row without any cluster."""
        empty = places < 0
        at = np.where(empty, 0, places)
        if not len(self.best):
            return unranked(len(places))
        one, two = np.where(empty, -1, self.best[at]), np.where(empty, -1, self.runner_up[at])
        score = np.where(empty, np.float32(np.nan), self.score[at])
        return Ranking(one, score, two, np.where(empty, np.float32(np.nan), self.runner_up_score[at]))


def unranked(n: int) -> Ranking:
    """Return `n` rows that are like no cluster."""
    nobody, nothing = np.full(n, -1, dtype=np.int64), np.full(n, np.nan, dtype=np.float32)
    return Ranking(nobody, nothing, nobody.copy(), nothing.copy())


def rank(scores: "Floats") -> Ranking:
    """Return the two likest clusters a row; of equally like ones the first, that is the larger one, comes first.

    Args:
        scores: shape (rows, clusters); -inf where the two can't be compared.
    """
    ranking = unranked(len(scores))
    rows, left = np.arange(len(scores)), scores.copy()
    turns = ((ranking.best, ranking.score), (ranking.runner_up, ranking.runner_up_score))
    for places, values in turns[: scores.shape[1]]:
        likest = left.argmax(axis=1)
        found = left[rows, likest]
        some = np.isfinite(found)
        places[some], values[some] = likest[some], np.clip(found[some], -1, 1)
        left[rows, likest] = -np.inf
    return ranking


def joined(parts: list[Ranking]) -> Ranking:
    """Return rankings of blocks as one."""
    if not parts:
        return unranked(0)
    names = ("best", "score", "runner_up", "runner_up_score")
    return Ranking(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def cosines(rows: "Floats", clusters: "Floats") -> "Floats":
    """Return the cosines of unit vectors, shape (rows, clusters); -inf where one of the two is zeros."""
    found = np.round(rows @ clusters.T, DIGITS)
    found[~rows.any(axis=1)] = -np.inf
    found[:, ~clusters.any(axis=1)] = -np.inf
    return np.asarray(found, dtype=np.float32)


def units(vectors: "NDArray[np.floating]") -> "Floats":
    """Return rows at length 1; a row that is zeros stays so."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def centroids(vectors: "Floats", members: "Numbers", count: int) -> "Floats":
    """Return the direction of the mean of each cluster's vectors, shape (count, components).

    Args:
        vectors: a row an image.
        members: place of each image's cluster, -1 for noise.
        count: number of clusters.
    """
    sums = np.zeros((count, vectors.shape[1]))
    for part in blocks(len(vectors), BLOCK):
        inside = members[part] >= 0
        np.add.at(sums, members[part][inside], vectors[part][inside].astype(np.float64))
    return units(sums)


def nearest(vectors: "Floats", clusters: "Floats") -> Ranking:
    """Return the clusters whose centroids are nearest to images."""
    return joined([rank(cosines(units(vectors[part].astype(np.float64)), clusters)) for part in blocks(len(vectors), BLOCK)])


@dataclass(frozen=True)
class Captions:
    """The captions of a set: each text once, and which image has which (-1: none)."""

    texts: pa.Array
    of_image: "Numbers"

    @classmethod
    def of(cls, column: pa.ChunkedArray | None, n: int) -> "Captions":
        """Return the captions of a column; blank ones are none."""
        if column is None:
            return cls(pa.array([], pa.string()), np.full(n, -1, dtype=np.int64))
        shown = pc.utf8_trim_whitespace(pc.utf8_slice_codeunits(column.cast(pa.string()), 0, LONGEST))
        encoded = pc.if_else(pc.equal(shown, ""), None, shown).combine_chunks().dictionary_encode()
        return cls(encoded.dictionary, pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False))

    def vectors(self, wanted: "Numbers", model: "TextEmbedder") -> "Iterator[tuple[Numbers, Floats]]":
        """Yield the vectors of texts in blocks: their places in `texts`, and an array (texts, components)."""
        for part in blocks(len(wanted), BLOCK):
            yield wanted[part], model.embed(self.texts.take(pa.array(wanted[part])).to_pylist())

    def centroids(self, members: "Numbers", count: int, model: "TextEmbedder") -> "Floats":
        """Return the direction of the mean of the captions' vectors in each cluster; zeros where it has none.

        Args:
            members: place of each image's cluster, -1 for noise.
            count: number of clusters.
            model: the text embedder.
        """
        from scipy.sparse import csr_array

        sums = np.zeros((count, model.size))
        inside = (members >= 0) & (self.of_image >= 0)
        pairs = (members[inside], self.of_image[inside])
        weights = csr_array((np.ones(len(pairs[0])), pairs), shape=(count, len(self.texts)))
        for places, vectors in self.vectors(np.unique(pairs[1]), model):
            sums += weights[:, places] @ vectors.astype(np.float64)
        return units(sums)

    def rank(self, images: "Numbers", clusters: "list[Floats]", model: "TextEmbedder") -> Ranking:
        """Return the clusters that the captions of `images` are likest to.

        Args:
            images: their places among all images.
            clusters: arrays (clusters, components), of which the likest counts.
            model: the text embedder.
        """
        texts = self.of_image[images]
        wanted, places = np.unique(texts[texts >= 0], return_inverse=True)
        parts = [rank(_likest(vectors, clusters)) for _, vectors in self.vectors(wanted, model)]
        found = np.full(len(images), -1, dtype=np.int64)
        found[texts >= 0] = places
        return joined(parts).take(found)


def _likest(vectors: "Floats", clusters: "list[Floats]") -> "Floats":
    scores = cosines(vectors, clusters[0])
    for other in clusters[1:]:
        np.maximum(scores, cosines(vectors, other), out=scores)
    return scores


def label_vectors(labels: list[str | None], model: "TextEmbedder") -> "Floats":
    """Return the vectors of labels; zeros where there is none, or where another cluster has the same: it tells nothing."""
    plain = [" ".join((label or "").split()).casefold() for label in labels]
    own = [place for place, text in enumerate(plain) if text and plain.count(text) == 1]
    vectors = np.zeros((len(labels), model.size), dtype=np.float32)
    if own:
        vectors[own] = model.embed([(labels[place] or "")[:LONGEST] for place in own])
    return vectors
