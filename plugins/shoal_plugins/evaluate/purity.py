"""`evaluate.purity`: whether clusters are clean, without knowing the truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from shoal.contract import Context, Resources, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Evaluator
from shoal.schema import columns

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from shoal_plugins.evaluate._shape import Sums
    from shoal_plugins.evaluate._verdict import Bound
    from shoal_plugins.reduce._matrix import Matrix

REPORT = "purity_report_latest.json"
MATRIX = "centroid_cosine_matrix.npy"
MATRIX_CLUSTERS = 5_000
"""Clusters up to which the matrix is written: 100 MB."""


class Purity(Evaluator):
    """Says whether clusters are compact, apart from each other, and unmixed: three figures, thresholds, a verdict.

    All figures are by the cosine of the vectors that it is given (each divided by its L2 norm). Say `from: embed` to judge
    by the features themselves, as `structural-clusters` does, instead of by the last reduction, which draws clusters
    apart. Noise lies in no cluster and is left out of the three:

    - `max_centroid_cosine`: the cosine of the two closest centroids; less is better.
    - `silhouette`: mean over the images, -1 to 1, by the cosine distance; more is better. Mean cosine distances follow from
      the sums of the clusters, so no pair of images is compared; above `sample` images that many are drawn with `seed`.
      The record says how many (`silhouette_images`).
    - `max_nn_cross_ratio`: for each cluster the share of foreign ones among the `neighbors` nearest images of its members,
      the worst of all clusters; less is better. Neighbours in the noise don't count; of a cluster of fewer images than that
      only as many neighbours are looked at as it has other images.

    Beside them: `clusters`, `noise` and `largest` (shares of all images; the largest cluster's), and `modularity`, Newman's,
    of the graph that joins images of which one is among the nearest of the other; noise is nobody's there, its edges count.

    What the thresholds mean: they are set on photographs of seven classes with `embed.lite0`. The true classes pass, and
    most clusters of which nine images in ten are with their class do (silhouette 0.1 and more, 0.2 to 0.7 of the neighbours
    foreign in the worst cluster); classes with a fifth of the images drawn anew, classes split at random and groups by
    chance fail (silhouette below 0.06, or 0.8 and more foreign). A FAIL says that clusters run into each other, and which;
    a PASS does not say that a cluster holds one class, as two that lie apart from the rest pass together. Other embedders,
    and sets of images that are more alike, have other figures: set the thresholds by clusters that you have looked at.

    A figure that is not defined is left out: nothing but `clusters`, `noise`, `largest` and `modularity` where there is
    no cluster, no centroid cosine and no silhouette where there is one. Fewer than two clusters are a FAIL. Where images
    are identical, distances of 0 make a silhouette of 0. A row a cluster has the same figures for it.

    Files: `purity_report_latest.json` with all of this, and `centroid_cosine_matrix.npy` (float32, clusters x clusters; up
    to 5,000 clusters). Neighbours by FAISS: exact up to 20,000 images, above by an inverted file, the same for the same
    threads; by cuML where the step has a GPU.

    Source: silhouette: P. Rousseeuw, 1987; modularity: M. Newman, PNAS 103, 2006.
    """

    name: ClassVar[str] = "purity"
    resources: ClassVar[Resources] = Resources(gpus=1.0)

    max_centroid_cosine: float | None = Field(
        0.95, ge=-1.0, le=1.0, description="Threshold: the closest centroids have at most this cosine; null judges nothing."
    )
    min_silhouette: float | None = Field(
        0.1, ge=-1.0, le=1.0, description="Threshold: the silhouette is at least this; null judges nothing."
    )
    max_nn_cross_ratio: float | None = Field(
        0.7,
        ge=0.0,
        le=1.0,
        description="Threshold: in the most mixed cluster at most this share of neighbours is foreign; null judges nothing.",
    )
    neighbors: int = Field(10, ge=1, le=200, description="Nearest images of an image, itself not counted.")
    sample: int = Field(100_000, ge=1, description="Images of which the silhouette is computed, at most.")
    seed: int = Field(42, ge=0, lt=2**31, description="Seed of that sample.")
    backend: Literal["auto", "cuml", "cpu"] = Field("auto", description="auto: cuML where the step has a GPU, else FAISS.")

    def produces(self) -> pa.Schema:
        """Return what is known of a cluster; null where a figure is not defined."""
        return columns(
            size=pa.int64(), nearest_cluster=pa.int32(), nearest_cosine=pa.float32(), silhouette=pa.float32(),
            cross_ratio=pa.float32(),
        )  # fmt: skip

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return a row a cluster; note figures, thresholds and verdict; write the files."""
        import numpy as np

        from shoal_plugins.evaluate._shape import Sums
        from shoal_plugins.evaluate._verdict import judge, tell, write_json
        from shoal_plugins.reduce._matrix import matrix, unit_rows

        given = rows["cluster"].to_numpy()
        numbers = np.unique(given[given >= 0])
        labels = np.where(given >= 0, np.searchsorted(numbers, given), -1).astype(np.int32)
        points = np.ascontiguousarray(unit_rows(matrix(rows)))
        sums = Sums.of(points, labels, len(numbers))
        found = self._measure(points, labels, sums, context)
        fault = ("there is no cluster", "there is only one cluster", "")[min(len(numbers), 2)]
        bounds = self._bounds(found, numbers)
        facts = tell(context, found.figures, bounds, judge(found.figures, bounds, fault))
        table = found.table(numbers, self.produces())
        if context.folder is not None:
            write_json(context.folder, REPORT, {**facts, **found.notes, "clusters": table.to_pylist()})
            _write_matrix(context.folder, sums)
        return table

    def _bounds(self, found: "_Found", numbers: "NDArray[np.int32]") -> "tuple[Bound, ...]":
        from shoal_plugins.evaluate._verdict import Bound

        closest, mixed = found.closest(numbers), found.most_mixed(numbers)
        return (
            Bound("max_centroid_cosine", f"the cosine of the two closest centroids{closest}",
                  self.max_centroid_cosine, True),
            Bound("silhouette", "the silhouette", self.min_silhouette, False),
            Bound("max_nn_cross_ratio", f"the share of foreign neighbours in the most mixed cluster{mixed}",
                  self.max_nn_cross_ratio, True),
        )  # fmt: skip

    def _measure(self, points: "Matrix", labels: "NDArray[np.int32]", sums: "Sums", context: Context) -> "_Found":
        from shoal_plugins.evaluate import _graph, _shape

        n, clusters = len(labels), len(sums.sizes)
        found = _Found(sums.sizes)
        found.figures = {"clusters": clusters, "noise": float((labels < 0).mean()) if n else 0.0,
                         "largest": float(sums.sizes.max(initial=0)) / max(1, n), "modularity": 0.0}  # fmt: skip
        if clusters and n > 1:
            near, how = _graph.neighbours(points, min(self.neighbors, n - 1), self.backend, context)
            context.note("backend", how)
            found.cross(*_graph.cross_counts(near, labels, clusters))
            found.figures["modularity"] = _graph.modularity(near, labels, clusters)
        if clusters > 1:
            found.nearest, found.cosine = _shape.nearest(sums.centroids)
            found.figures["max_centroid_cosine"] = float(found.cosine.max())
            found.silhouettes(*self._silhouettes(points, labels, sums))
            context.note("silhouette_images", found.notes["silhouette_images"])
        return found

    def _silhouettes(
        self, points: "Matrix", labels: "NDArray[np.int32]", sums: "Sums"
    ) -> "tuple[NDArray[np.float64], NDArray[np.int32]]":
        """Return the silhouettes of images in clusters, all of them or a sample, and their clusters."""
        import numpy as np

        from shoal_plugins.evaluate._shape import silhouettes

        inside = np.flatnonzero(labels >= 0)
        if len(inside) > self.sample:
            inside = np.sort(np.random.default_rng(self.seed).choice(inside, self.sample, replace=False))
        return silhouettes(points[inside], labels[inside], sums), labels[inside]


@dataclass
class _Found:
    """Figures of the set, and of each cluster; None until they are known.

    Attributes:
        sizes: images of each cluster.
        figures: of the set.
        notes: how they were found.
        nearest, cosine: nearest other cluster, and the cosine of the centroids.
        silhouette, cross_ratio: by cluster; NaN where there is none.
    """

    sizes: "NDArray[np.int64]"
    figures: dict[str, float | None]
    notes: dict[str, Any]
    nearest: "NDArray[np.int64] | None" = None
    cosine: "NDArray[np.float64] | None" = None
    silhouette: "NDArray[np.float64] | None" = None
    cross_ratio: "NDArray[np.float64] | None" = None

    def __init__(self, sizes: "NDArray[np.int64]") -> None:
        self.sizes, self.figures, self.notes = sizes, {}, {}

    def cross(self, foreign: "NDArray[np.int64]", inside: "NDArray[np.int64]") -> None:
        """Take in the neighbours of each cluster; one without any in a cluster has a ratio of 0."""
        import numpy as np

        self.cross_ratio = foreign / np.maximum(inside, 1)
        self.figures["max_nn_cross_ratio"] = float(self.cross_ratio.max())

    def closest(self, numbers: "NDArray[np.int32]") -> str:
        """Return which clusters' centroids are the closest, in brackets behind a word; "" where there are no two."""
        if self.nearest is None or self.cosine is None:
            return ""
        one = int(self.cosine.argmax())
        return f" (clusters {numbers[one]} and {numbers[self.nearest[one]]})"

    def most_mixed(self, numbers: "NDArray[np.int32]") -> str:
        """Return which cluster has the largest share of foreign neighbours, in brackets behind a word."""
        return "" if self.cross_ratio is None else f" ({numbers[int(self.cross_ratio.argmax())]})"

    def silhouettes(self, values: "NDArray[np.float64]", labels: "NDArray[np.int32]") -> None:
        """Take in silhouettes of images; a cluster of which none was drawn has none."""
        import numpy as np

        drawn = np.bincount(labels, minlength=len(self.sizes))
        sums = np.bincount(labels, values, minlength=len(self.sizes))
        self.silhouette = np.where(drawn > 0, sums / np.maximum(drawn, 1), np.nan)
        self.figures["silhouette"] = float(values.mean())
        self.notes["silhouette_images"] = len(values)

    def table(self, numbers: "NDArray[np.int32]", schema: pa.Schema) -> pa.Table:
        """Return a row a cluster."""
        other = None if self.nearest is None else numbers[self.nearest]
        parts: Mapping[str, NDArray[Any] | None] = {
            "size": self.sizes, "nearest_cluster": other, "nearest_cosine": self.cosine, "silhouette": self.silhouette,
            "cross_ratio": self.cross_ratio,
        }  # fmt: skip
        made = [_column(parts[field.name], field.type, len(numbers)) for field in schema]
        key = pa.field("cluster", pa.int32())
        return pa.table([pa.array(numbers, pa.int32()), *made], schema=pa.schema([key, *schema]))


def _column(values: "NDArray[Any] | None", kind: pa.DataType, rows: int) -> pa.Array:
    return pa.nulls(rows, kind) if values is None else pa.array(values, from_pandas=True).cast(kind)


def _write_matrix(folder: "Path", sums: "Sums") -> None:
    """Write the cosines of all pairs of centroids."""
    import numpy as np

    from shoal_plugins.evaluate._shape import cosine_rows

    clusters = len(sums.sizes)
    if clusters > MATRIX_CLUSTERS:
        return
    whole = np.empty((clusters, clusters), dtype=np.float32)
    for part, found in cosine_rows(sums.centroids):
        whole[part] = found
    np.save(folder / MATRIX, whole)


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Purity,)
