"""`reduce.tsne`: a map by t-SNE."""

import warnings
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Reducer

FEWEST_ROWS = 4


class Tsne(Reducer):
    """Lays vectors out on a map by t-SNE: neighbourhoods are kept, distances between groups say little.

    Take it for the map of a set up to some 50,000 images; `reduce.umap` is faster and the better start for clustering.
    Vectors are divided by their L2 norm and shortened by principal components first (`pca`), and the map starts from
    the first components. Fewer than 4 images, or images that are all alike, get principal components instead, padded
    with zeros; the perplexity is lowered where a set has fewer than three times as many images.

    Source: L. van der Maaten, G. Hinton, Visualizing Data using t-SNE, JMLR 9, 2008; computed by scikit-learn.
    """

    name: ClassVar[str] = "tsne"
    shorthand: ClassVar[str | None] = "components"

    components: int = Field(2, ge=1, le=3, description="Dimensions of the map.")
    perplexity: float = Field(30.0, ge=2.0, le=500.0, description="Neighbours that count, roughly.")
    metric: Literal["cosine", "euclidean"] = Field("cosine", description="Distance between vectors.")
    pca: int = Field(50, ge=0, le=65536, description="Principal components taken first; 0 takes the vectors as they are.")
    power: float = Field(
        1.0,
        gt=0.0,
        le=1.0,
        description="Power to which components are raised first, signs kept: 0.5 tames a few large ones.",
    )
    normalize_input: bool = Field(True, description="Divide each vector by its L2 norm first.")
    epochs: int = Field(1000, ge=250, le=100_000, description="Rounds of layout.")
    seed: int = Field(42, ge=-1, lt=2**31, description="Seed; -1 draws one.")

    @property
    def size(self) -> int:
        """Return the dimensions of the map."""
        return self.components

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the map."""
        from shoal_plugins.reduce._layout import draw_seed
        from shoal_plugins.reduce._linear import Prepare, principal
        from shoal_plugins.reduce._matrix import all_alike, matrix, vectors_table

        vectors = matrix(rows)
        prepare = Prepare(self.normalize_input, self.power)
        short = principal(vectors, self.pca, prepare) if self.pca else prepare(vectors)
        start = principal(short, self.components)
        if len(short) < FEWEST_ROWS or all_alike(short):
            context.note("backend", "principal components (too few different images for a map)")
            return vectors_table(rows, start, self.size, self.produces())
        from sklearn.manifold import TSNE

        seed = draw_seed(self.seed)
        context.note("backend", "scikit-learn")
        context.note("seed", seed)
        first = start.copy()
        first *= 1e-4 / first[:, 0].std()  # the start that t-SNE's authors advise: small, so that groups can still pass
        if first.shape[1] < self.components:
            import numpy as np

            first = np.pad(first, ((0, 0), (0, self.components - first.shape[1])))
        model = TSNE(
            n_components=self.components, perplexity=min(self.perplexity, (len(short) - 1) / 3), metric=self.metric,
            max_iter=self.epochs, init=first, learning_rate="auto", random_state=seed, n_jobs=context.threads,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return vectors_table(rows, model.fit_transform(short), self.size, self.produces())


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Tsne,)
