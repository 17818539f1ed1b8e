"""`sample.farthest`: the border of each cluster."""

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
from pydantic import Field

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Sampler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Farthest(Sampler):
    """Picks the images farthest from the centroid of their cluster: its border, the farthest first.

    Take it to check clusters: what does not belong shows up here first. The centroid is the mean of the members' vectors;
    of two images at the same distance the one with the smaller id comes first. Noise has no representatives.
    """

    name: ClassVar[str] = "farthest"
    shorthand: ClassVar[str | None] = "per_cluster"

    per_cluster: int = Field(2, ge=1, le=10_000, description="Images picked from each cluster; a smaller one gives all.")

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the picked images."""
        from shoal_plugins.sample._picks import pick_from_clusters

        return pick_from_clusters(rows, self.per_cluster, _farthest, self.produces())


def _farthest(number: int, distances: "NDArray[np.float64]", count: int) -> "NDArray[np.intp]":
    return (-distances).argsort(kind="stable")[:count]


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Farthest,)
