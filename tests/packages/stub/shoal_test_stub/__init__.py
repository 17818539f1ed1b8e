"""A third-party embedder that reads no file: rows by the million, of paths that do not exist."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal import hookimpl
from shoal.contract import Batch, Stage
from shoal.kinds import Embedder
from shoal.vectors import from_numpy

if TYPE_CHECKING:
    from shoal.contract import Pixels

SIZE = 8


class Stub(Embedder):
    """Makes a short vector of the digits of the image's id."""

    name = "stub"

    @property
    def size(self) -> int:
        """A byte of the id each."""
        return SIZE

    def embed(self, images: "Sequence[Pixels]") -> NDArray[np.float32]:
        """Refuse: there are no pixels."""
        raise NotImplementedError("embed.stub reads no image")

    def map(self, batch: Batch) -> pa.Table:
        """Return the vectors."""
        digits = b"".join(bytes.fromhex(image[: 2 * SIZE]) for image in batch.rows["id"].to_pylist())
        vectors = np.frombuffer(digits, dtype=np.uint8).reshape(-1, SIZE).astype(np.float32) / 255
        return pa.table([from_numpy(vectors)], schema=self.produces())


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage."""
    return (Stub,)
