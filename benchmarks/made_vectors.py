"""`embed.made`: vectors that are made from the image's id alone, so that any number of them costs no decoding."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from shoal.contract import Batch, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Embedder
from shoal.vectors import from_numpy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.contract import Pixels

SIZE, CENTRES = 1280, 50


class Made(Embedder):
    """Places each image near one of 50 centres, by its id."""

    name: ClassVar[str] = "made"

    @property
    def size(self) -> int:
        return SIZE

    def embed(self, images: "Sequence[Pixels]") -> "NDArray[np.float32]":
        raise NotImplementedError("this stage reads no image")

    def map(self, batch: Batch) -> pa.Table:
        centres = np.random.default_rng(3).normal(size=(CENTRES, SIZE)).astype(np.float32)
        numbers = [int(image[:12], 16) for image in batch.rows["id"].to_pylist()]
        noise = [np.random.default_rng(number).normal(scale=0.7, size=SIZE) for number in numbers]
        rows = centres[[number % CENTRES for number in numbers]] + np.asarray(noise, dtype=np.float32)
        return pa.table([from_numpy(rows)], schema=self.produces())


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    return (Made,)
