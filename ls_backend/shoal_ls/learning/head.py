"""A head: multinomial logistic regression on embeddings of length 1, as plain arrays."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from shoal.vectors import unit_length

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class HeadRecord(BaseModel):
    """How a head was made and how good it is.

    Attributes:
        run: name of the run; `number`: from 1 on.
        made: when, ISO 8601 in UTC.
        step, fingerprint: the step whose embeddings it reads, and that of its stage: other embeddings mean nothing to it.
        digest: of the decisions that it was made of.
        decided: decisions in all; `fitted` of them it was fitted to, `held` were held out.
        background: images besides whose clusters nobody doubted so far: they stand for clusters with few decisions.
        accuracy: share of the held-out decisions that it gets right.
        rival: what it had to beat: `head 2`, or `nearest centroid` where no head was current.
        rival_accuracy: share of the same decisions that the rival gets right.
        weights: SHA-256 of the file of weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    number: int
    made: str
    step: str
    fingerprint: str
    digest: str
    decided: int
    fitted: int
    held: int
    background: int
    accuracy: float
    rival: str
    rival_accuracy: float
    weights: str

    @property
    def better(self) -> bool:
        """Whether it beat its rival."""
        return self.accuracy > self.rival_accuracy


@dataclass(frozen=True)
class Head:
    """A trained head.

    Attributes:
        record: how it was made.
        classes: (c,) int32, numbers of clusters.
        weights: (c, d) float32.
        bias: (c,) float32.
    """

    record: HeadRecord
    classes: "NDArray[np.int32]"
    weights: "NDArray[np.float32]"
    bias: "NDArray[np.float32]"

    @property
    def version(self) -> str:
        """Name that changes with its weights: `head-3-0a1b2c3d`."""
        return f"head-{self.record.number}-{self.record.weights[:8]}"

    def probabilities(self, vectors: "NDArray[np.float32]") -> "tuple[NDArray[np.int32], NDArray[np.float32]]":
        """Return the clusters and how likely each image belongs to each.

        Args:
            vectors: (n, d) embeddings as the run's step gives them, of any length.

        Returns:
            (c,) numbers of clusters, and (n, c) shares of 1, a row an image.
        """
        import numpy as np

        scores = unit_length(vectors).astype(np.float64) @ self.weights.T.astype(np.float64) + self.bias
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return self.classes, (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def packed(classes: "NDArray[np.int32]", weights: "NDArray[np.float32]", bias: "NDArray[np.float32]") -> bytes:
    """Return the arrays of a head as the bytes of an npz file."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, classes=classes, weights=weights, bias=bias)
    return buffer.getvalue()


def unpacked(record: HeadRecord, data: bytes) -> Head:
    """Return a head out of the bytes of its file; nothing in them is ever run.

    Raises:
        ValueError, KeyError, zipfile.BadZipFile: they are no head's.
    """
    import numpy as np

    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return Head(record, arrays["classes"], arrays["weights"], arrays["bias"])
