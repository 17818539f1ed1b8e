"""`sample.stratified`: from the middle to the border of each cluster."""

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
from pydantic import Field

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Sampler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Stratified(Sampler):
    """Picks images spread from the middle to the border of their cluster.

    Take it where representatives should show the whole width of a cluster. Members are sorted by their distance to the
    centroid and cut into `per_cluster` strata of equal size; the middle one of each stratum is picked, the innermost
    first. Noise has no representatives.
    """

    name: ClassVar[str] = "stratified"
    shorthand: ClassVar[str | None] = "per_cluster"

    per_cluster: int = Field(2, ge=1, le=10_000, description="Images picked from each cluster; a smaller one gives all.")

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the picked images."""
        from shoal_plugins.sample._picks import pick_from_clusters

        return pick_from_clusters(rows, self.per_cluster, _spread, self.produces())


def _spread(number: int, distances: "NDArray[np.float64]", count: int) -> "NDArray[np.intp]":
    import numpy as np

    middles = (np.arange(count) + 0.5) * len(distances) / count
    return distances.argsort(kind="stable")[middles.astype(np.intp)]


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Stratified,)
