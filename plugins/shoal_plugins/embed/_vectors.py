"""Small arithmetic on arrays of vectors."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def unit_length(rows: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Return rows of length 1; a row of zeros stays. Each row is summed by itself, so its batch does not matter."""
    lengths = np.array([np.sqrt(np.dot(row, row)) for row in rows.astype(np.float64)]).reshape(-1, 1)
    scaled: NDArray[np.float32] = (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return scaled
