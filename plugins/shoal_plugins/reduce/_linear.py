"""Principal components by blocks of rows, without a copy of all vectors."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from shoal_plugins.reduce._matrix import blocks, unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal_plugins.reduce._matrix import Matrix

NOTHING_LEFT = 1e-11
"""A component that holds a smaller share of the vectors' energy is rounding of float32, not variance."""


@dataclass(frozen=True)
class Prepare:
    """What is done to each row first.

    Attributes:
        unit: divide it by its L2 norm.
        power: raise the size of each component to this power before, and keep its sign.
    """

    unit: bool = True
    power: float = 1.0

    def __call__(self, rows: "Matrix") -> "Matrix":
        """Return the prepared rows."""
        if self.power != 1:
            rows = np.sign(rows) * np.abs(rows) ** np.float32(self.power)
        return unit_rows(rows) if self.unit else rows


AS_IS = Prepare(unit=False)


@dataclass(frozen=True)
class Axes:
    """Principal components that were found, to be used on any rows.

    Attributes:
        mean: of the prepared rows, shape (size,).
        loadings: shape (size, components), float32.
        prepare: what is done to each row first.
    """

    mean: "NDArray[np.float64]"
    loadings: "Matrix"
    prepare: Prepare

    def __call__(self, vectors: "Matrix") -> "Matrix":
        """Return the coordinates of rows on the axes, shape (n, components)."""
        out = np.empty((len(vectors), self.loadings.shape[1]), dtype=np.float32)
        for part in blocks(len(vectors)):
            out[part] = _centred(vectors[part], self.mean, self.prepare) @ self.loadings
        return out


def principal(vectors: "Matrix", components: int, prepare: Prepare = AS_IS, *, whiten: bool = False) -> "Matrix":
    """Return the coordinates on the first principal components, shape (n, at most `components`); see `axes`."""
    if vectors.size == 0:
        return np.zeros((len(vectors), 0), dtype=np.float32)
    return axes(vectors, components, prepare, whiten=whiten)(vectors)


def axes(vectors: "Matrix", components: int, prepare: Prepare = AS_IS, *, whiten: bool = False) -> Axes:
    """Return the first principal components of the vectors.

    Takes the eigenvectors of the covariance matrix, or of the matrix of inner products where there are fewer rows than
    columns. Fewer axes come back where the vectors have no more variance than that. Each points where its
    largest loading is positive, so that signs do not depend on the library.

    Args:
        vectors: shape (n, size), float32; at least one row.
        components: the most components wanted.
        prepare: what is done to each row first.
        whiten: divide each component by its standard deviation.
    """
    mean, energy = _mean(vectors, prepare)
    n, size = vectors.shape
    loadings, variance = _dual(vectors, mean, prepare) if n <= size else _covariance(vectors, mean, prepare)
    keep = variance[:components] > NOTHING_LEFT * max(energy, np.finfo(float).tiny)
    loadings, variance = loadings[:, :components][:, keep], variance[:components][keep]
    largest = loadings[np.abs(loadings).argmax(axis=0), np.arange(loadings.shape[1])]
    loadings = loadings * np.where(largest < 0, -1.0, 1.0)
    if whiten:
        loadings = loadings / np.sqrt(variance)
    return Axes(mean, loadings.astype(np.float32), prepare)


def _centred(rows: "Matrix", mean: "NDArray[np.float64]", prepare: Prepare) -> "Matrix":
    return prepare(rows) - mean.astype(np.float32)


def _mean(vectors: "Matrix", prepare: Prepare) -> "tuple[NDArray[np.float64], float]":
    total = np.zeros(vectors.shape[1])
    energy = 0.0
    for part in blocks(len(vectors)):
        rows = prepare(vectors[part])
        total += rows.sum(axis=0, dtype=np.float64)
        energy += float(np.einsum("ij,ij->", rows, rows, dtype=np.float64))
    return total / len(vectors), energy / len(vectors)


def _covariance(
    vectors: "Matrix", mean: "NDArray[np.float64]", prepare: Prepare
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    total = np.zeros((vectors.shape[1], vectors.shape[1]))
    for part in blocks(len(vectors)):
        rows = _centred(vectors[part], mean, prepare)
        total += rows.T @ rows
    values, loadings = np.linalg.eigh(total / max(1, len(vectors) - 1))
    return loadings[:, ::-1], values[::-1]


def _dual(
    vectors: "Matrix", mean: "NDArray[np.float64]", prepare: Prepare
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    rows = _centred(vectors, mean, prepare).astype(np.float64)
    values, left = np.linalg.eigh(rows @ rows.T)
    values, left = np.maximum(values[::-1], 0), left[:, ::-1]
    scale = np.sqrt(np.where(values > 0, values, 1))
    return rows.T @ (left / scale), values / max(1, len(vectors) - 1)
