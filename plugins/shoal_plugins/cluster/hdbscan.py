"""`cluster.hdbscan`: clusters of any density, and noise."""

from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from shoal.contract import Context, Resources, Stage
from shoal.errors import StageError
from shoal.hooks import hookimpl
from shoal_plugins.cluster._noise import WithNoise


class Hdbscan(WithNoise):
    """Finds clusters of any number, shape and density, and leaves as noise (-1) what belongs to none.

    The default of shoal. Take it on short vectors (`reduce.umap` or `reduce.pca` first): with more than some 60
    components every pair of images is compared. `eom` keeps the most stable clusters whatever their size, `leaf` the
    finest ones. `strength` is the membership probability; `outlier` is the GLOSH score (how much less dense an image
    lies than the cluster nearest to it) where the backend is hdbscan, else 1 minus the strength.

    Fewer images than `min_cluster_size` are all noise. Images whose vectors are all the same are one cluster of
    strength 1, if they are enough for one. A set without any split is all noise.

    `noise: nearest` leaves no image out where there is a cluster: each noise image goes to the cluster whose centroid (mean
    of the members that were found, in the space that was clustered) is nearest. It keeps its `strength` of 0 and its
    `outlier`, so that it can be told from the members; numbers go by the sizes with it.

    Backends: `hdbscan` was the fastest on CPUs at every size measured (1,000 to 100,000 rows, cold process) and knows all
    options; `fast_hdbscan` knows no alpha, `sklearn` and `cuml` know no persistence.

    Source: R. Campello, D. Moulavi, J. Sander, PAKDD 2013; selection epsilon: C. Malzer, M. Baum, 2020; outlier score:
    R. Campello et al., TKDD 2015.
    """

    name: ClassVar[str] = "hdbscan"
    shorthand: ClassVar[str | None] = "min_cluster_size"
    resources: ClassVar[Resources] = Resources(gpus=1.0)
    aside: ClassVar[tuple[str, ...]] = ("samples_within_size",)  # it refuses options, and changes no row

    min_cluster_size: int | None = Field(5, ge=2, description="Fewest images of a cluster; null takes `min_samples`.")
    min_samples: int = Field(2, ge=2, le=30, description="Neighbours that make a place dense: more give more noise.")
    selection_method: Literal["leaf", "eom"] = Field("leaf", description="leaf: finest clusters; eom: most stable ones.")
    selection_epsilon: float = Field(
        0.0, ge=0.0, le=0.5, description="Clusters nearer than this distance to each other are not split."
    )
    selection_persistence: float = Field(
        0.4, ge=0.0, le=1.0, description="Clusters that live through less density (1 / distance) than this are merged."
    )
    samples_within_size: bool = Field(
        False,
        description="Refuse a `min_samples` over `min_cluster_size`, which HDBSCAN allows and the workflow "
        "`structural-clusters` does not.",
    )
    alpha: float = Field(1.0, gt=0.0, le=10.0, description="Divides distances where clusters are merged; 1 is the paper's.")
    metric: Literal["euclidean", "cosine"] = Field(
        "euclidean", description="cosine: vectors are divided by their L2 norm, distances are chords (0 to 2)."
    )
    backend: Literal["auto", "cuml", "fast_hdbscan", "hdbscan", "sklearn"] = Field(
        "auto", description="Library; auto: cuml where the step has a GPU and the options allow it, else hdbscan."
    )

    @model_validator(mode="after")
    def _bounds(self) -> "Hdbscan":
        if self.samples_within_size and self.min_samples > self.fewest:
            raise ValueError(
                f"min_samples ({self.min_samples}) is over min_cluster_size ({self.fewest}); lower it, or raise "
                "min_cluster_size"
            )
        return self

    @property
    def fewest(self) -> int:
        """Fewest images of a cluster."""
        return self.min_cluster_size or self.min_samples

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the clusters."""
        from shoal_plugins.cluster._hdbscan_backends import fit
        from shoal_plugins.cluster._labels import NOISE, clusters_table, note_result, one_answer
        from shoal_plugins.reduce._matrix import all_alike, matrix, unit_rows

        backend = self._choose(context)
        vectors = matrix(rows)
        if len(vectors) < self.fewest or all_alike(vectors):
            context.note("backend", "none (too few images, or all alike)")
            table = one_answer(rows, NOISE if len(vectors) < self.fewest else 0, self.produces())
            return note_result(table, context.note)
        if self.metric == "cosine":
            vectors = unit_rows(vectors)
        labels, strength, outlier = fit(backend, vectors, self)
        strength = (labels >= 0) * strength
        labels = self.settle(vectors, labels, self.metric == "cosine", context)
        return note_result(clusters_table(rows, labels, strength, outlier, self.produces()), context.note)

    def _choose(self, context: Context) -> str:
        """Return the backend, and note it with the reason where it is not the wanted one."""
        from shoal_plugins.reduce._gpu import reason_against_cuml

        lacks = {
            "cuml": self.selection_persistence > 0 and "selection_persistence",
            "sklearn": self.selection_persistence > 0 and "selection_persistence",
            "fast_hdbscan": self.alpha != 1 and "alpha",
        }
        if self.backend != "auto" and lacks.get(self.backend):
            raise StageError(
                f"{self.title()}: backend {self.backend} has no {lacks[self.backend]}; take backend: auto, "
                f"or set {lacks[self.backend]} to {0 if lacks[self.backend] != 'alpha' else 1}"
            )
        if self.backend not in ("auto", "cuml"):
            context.note("backend", self.backend)
            return self.backend
        if self.backend == "auto" and not context.gpu:
            context.note("backend", "hdbscan")
            return "hdbscan"
        against = f"cuML has no {lacks['cuml']}" if lacks["cuml"] else reason_against_cuml()
        if against is None:
            context.note("backend", "cuml")
            return "cuml"
        if self.backend == "cuml":
            raise StageError(f"{self.title()}: backend cuml can't be used, because {against}; take backend: auto")
        context.note("backend", f"hdbscan (because {against})")
        return "hdbscan"


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Hdbscan,)
