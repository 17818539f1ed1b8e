"""`reduce.pca`: principal components."""

from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Reducer


class Pca(Reducer):
    """Shortens vectors to their first principal components.

    Take it before clustering or before anything that grows with the length of vectors: 256 components keep nearly all
    of what an embedder says, and distances cost a fifth. It is exact, has no seed, and works through blocks of rows, so
    that memory stays near that of the vectors themselves. Signs are fixed: the largest loading of each component is
    positive. A set with less variance than `components` asks for (fewer images, or all alike) gets zeros in the rest;
    one image, or images that are all alike, get the zero vector.

    Source: I. T. Jolliffe, Principal Component Analysis, 2nd edition, 2002.
    """

    name: ClassVar[str] = "pca"
    shorthand: ClassVar[str | None] = "components"

    components: int = Field(256, ge=1, le=65536, description="Number of principal components.")
    power: float = Field(
        1.0,
        gt=0.0,
        le=1.0,
        description="Power to which components are raised first, signs kept: 0.5 tames a few large ones.",
    )
    normalize_input: bool = Field(True, description="Divide each vector by its L2 norm before.")
    normalize_output: bool = Field(True, description="Divide each shortened vector by its L2 norm after.")
    whiten: bool = Field(False, description="Give every component the variance 1.")

    @property
    def size(self) -> int:
        """Return the number of components."""
        return self.components

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the shortened vectors."""
        from shoal_plugins.reduce._linear import Prepare, principal
        from shoal_plugins.reduce._matrix import matrix, unit_rows, vectors_table

        short = principal(matrix(rows), self.components, Prepare(self.normalize_input, self.power), whiten=self.whiten)
        context.note("backend", "numpy")
        if self.normalize_output:
            short = unit_rows(short)
        return vectors_table(rows, short, self.size, self.produces())


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Pca,)
