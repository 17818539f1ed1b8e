"""`sample.random`: images of each cluster by lot."""

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
from pydantic import Field

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Sampler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Random(Sampler):
    """Picks images of each cluster by lot, each member with the same chance.

    Take it for an unbiased look at a cluster. The draw depends on the seed, the number of the cluster and its size. Noise
    has no representatives.
    """

    name: ClassVar[str] = "random"
    shorthand: ClassVar[str | None] = "per_cluster"

    per_cluster: int = Field(2, ge=1, le=10_000, description="Images picked from each cluster; a smaller one gives all.")
    seed: int = Field(42, ge=-1, lt=2**31, description="Seed of the draw; -1 draws one.")

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the picked images."""
        import numpy as np

        from shoal_plugins.reduce._layout import draw_seed
        from shoal_plugins.sample._picks import pick_from_clusters

        seed = draw_seed(self.seed)
        context.note("seed", seed)

        def pick(number: int, distances: "NDArray[np.float64]", count: int) -> "NDArray[np.intp]":
            return np.random.default_rng([seed, number]).permutation(len(distances))[:count]

        return pick_from_clusters(rows, self.per_cluster, pick, self.produces())


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Random,)
