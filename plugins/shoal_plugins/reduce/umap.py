"""`reduce.umap`: a layout that keeps neighbours together."""

from typing import TYPE_CHECKING, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from shoal.contract import Context, Resources, Stage
from shoal.errors import StageError
from shoal.hooks import hookimpl
from shoal.kinds import Reducer

if TYPE_CHECKING:
    from shoal_plugins.reduce._matrix import Matrix


class Umap(Reducer):
    """Lays vectors out in few dimensions so that near neighbours stay near: clusters come out dense and apart.

    Take it before `cluster.hdbscan` (5 components, `min_dist` 0) and for the 2-D map (2 components). Vectors are divided
    by their L2 norm and shortened by principal components first (`pca`), neighbours are exact up to 100,000 images, and
    umap-learn or cuML lays out their graph.

    One layout depends on its seed, more so the smaller the set. `layouts` lays the same graph out several times and
    puts the results side by side, so that squared distances are the mean of those in the layouts: on 214 photos (power
    0.5, pca 30) the standard deviation of NMI over ten seeds fell from 0.04 with one layout to 0.006 with eight. A set
    of n images gets at most 10,000 / n layouts, as larger sets are steady by themselves; the rest of the vector is
    zeros. Take 1 for a map.

    Fewer than 4 images, or vectors with no two different, get principal components instead of a layout, padded with
    zeros; with fewer images than `neighbors` all are neighbours.

    Source: L. McInnes, J. Healy, J. Melville, UMAP, arXiv 1802.03426.
    """

    name: ClassVar[str] = "umap"
    shorthand: ClassVar[str | None] = "components"
    resources: ClassVar[Resources] = Resources(gpus=1.0)

    components: int = Field(5, ge=1, le=256, description="Dimensions of one layout.")
    layouts: int = Field(
        1, ge=1, le=16, description="Layouts put side by side against chance, for sets below 10,000 images."
    )
    neighbors: int = Field(
        15, ge=2, le=1000, description="Neighbours of an image, itself counted: more show the whole, fewer the detail."
    )
    min_dist: float = Field(
        0.0, ge=0.0, lt=1.0, description="Smallest distance between points: 0 to cluster, 0.1 for a map."
    )
    metric: Literal["cosine", "euclidean"] = Field("cosine", description="Distance between vectors.")
    pca: int = Field(50, ge=0, le=65536, description="Principal components taken first; 0 takes the vectors as they are.")
    power: float = Field(
        1.0,
        gt=0.0,
        le=1.0,
        description="Power to which components are raised first, signs kept: 0.5 tames a few large ones.",
    )
    normalize_input: bool = Field(True, description="Divide each vector by its L2 norm first.")
    epochs: int | None = Field(
        None, ge=10, le=10_000, description="Rounds of layout; null: 500 up to 10,000 images, else 200."
    )
    seed: int = Field(42, ge=-1, lt=2**31, description="Seed of the layout; -1 draws one.")
    backend: Literal["auto", "cuml", "cpu"] = Field("auto", description="auto: cuML where the step has a GPU, else the CPU.")

    @property
    def size(self) -> int:
        """Return the components of all layouts."""
        return self.components * self.layouts

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the layout."""
        from shoal_plugins.reduce._layout import FEWEST_ROWS, draw_seed
        from shoal_plugins.reduce._linear import Prepare, principal
        from shoal_plugins.reduce._matrix import all_alike, matrix, vectors_table

        vectors = matrix(rows)
        prepare = Prepare(self.normalize_input, self.power)
        short = principal(vectors, self.pca, prepare) if self.pca else prepare(vectors)
        del vectors
        if len(short) < FEWEST_ROWS or all_alike(short):
            context.note("backend", "principal components (too few different images for a layout)")
            return vectors_table(rows, principal(short, self.components), self.size, self.produces())
        seed = draw_seed(self.seed)
        context.note("seed", seed)
        return vectors_table(rows, self._layout(short, seed, context), self.size, self.produces())

    def _layout(self, short: "Matrix", seed: int, context: Context) -> "Matrix":
        from shoal_plugins.reduce._gpu import reason_against_cuml
        from shoal_plugins.reduce._layout import Plan, lay_out, layouts_for

        plan = Plan(self.components, self.neighbors, self.min_dist, self.metric, self.epochs, self.layouts, seed)
        context.note("layouts", layouts_for(len(short), self.layouts))
        wanted = self.backend == "cuml" or (self.backend == "auto" and context.gpu)
        against = reason_against_cuml() if wanted else None
        if wanted and against is None:
            from shoal_plugins.reduce._cuml import lay_out_on_gpu

            context.note("backend", "cuml")
            return lay_out_on_gpu(short, plan)
        if self.backend == "cuml":
            raise StageError(f"reduce.umap: backend cuml can't be used, because {against}; take backend: auto")
        layout, how = lay_out(short, plan)
        context.note("backend", "umap-learn" if against is None else f"umap-learn (because {against})")
        context.note("neighbours", how)
        return layout


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Umap,)
