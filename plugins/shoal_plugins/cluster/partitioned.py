"""`cluster.partitioned`: HDBSCAN for millions of images, in bounded memory."""

import hashlib
from typing import TYPE_CHECKING, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from shoal.contract import Context, Resources, Stage
from shoal.hooks import hookimpl
from shoal_plugins.cluster.hdbscan import Hdbscan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from shoal_plugins.cluster._votes import Clustered, Votes
    from shoal_plugins.reduce._linear import Axes, Prepare
    from shoal_plugins.reduce._matrix import Matrix


class Partitioned(Hdbscan):
    """Finds clusters in a sample by HDBSCAN, and brings every other image to them by votes of its neighbours.

    Take it from some 100,000 images on, where `cluster.hdbscan` takes hours. Time grows with the number of images,
    memory does not, but for the vectors themselves (which may be a memory-mapped table) and 40 bytes an image.

    `sample` images are drawn by a hash of their id and `seed`: whatever the order of the images, and nearly the same ones
    after some were added. Vectors are shortened to principal components that are fitted on the sample; `umap` lays the
    sample out before its density is looked at. Then the `neighbors` nearest sampled images of each other image vote, noise
    among them. It joins the cluster that wins if the `min_samples`-th nearest of that cluster's voters is within the
    cluster's cut-off, the distance within which the share `quantile` of its sampled members have theirs. Else it is noise.

    Sampled images keep the `strength` that HDBSCAN gave them; others get the mean of their voters', those of other clusters
    counted as 0. `outlier` is 1 - median core distance in the cluster / core distance of the image, both within the
    sample; 0 for the denser half of a cluster. `noise: nearest` takes the centroids of sampled members.

    A set of at most `sample` images is clustered whole: the answer is that of `cluster.hdbscan` with the same options.
    In a larger set `min_cluster_size` counts sampled images, so that groups of fewer than min_cluster_size * images / sample
    can't be found (the record names that number as `smallest_group`): raise `sample` where they matter.

    Source: R. Campello, D. Moulavi, J. Sander, PAKDD 2013; assignment by neighbours in a sample: T. Cover, P. Hart, IEEE
    Transactions on Information Theory 13, 1967, with a distance reject; clustering a sample first: S. Guha, R. Rastogi,
    K. Shim, CURE, SIGMOD 1998.
    """

    name: ClassVar[str] = "partitioned"
    shorthand: ClassVar[str | None] = "sample"
    resources: ClassVar[Resources] = Resources(gpus=1.0)

    min_cluster_size: int | None = Field(
        25, ge=2, description="Fewest images of a cluster, in the sample; null takes `min_samples`."
    )
    min_samples: int = Field(5, ge=2, le=30, description="Neighbours that make a place dense: more give more noise.")
    selection_method: Literal["leaf", "eom"] = Field("eom", description="leaf: finest clusters; eom: most stable ones.")
    selection_persistence: float = Field(
        0.0, ge=0.0, le=1.0, description="Clusters that live through less density (1 / distance) than this are merged."
    )
    sample: int = Field(50_000, ge=20, le=1_000_000, description="Images on which clusters are found.")
    components: int = Field(
        32, ge=0, le=4096, description="Principal components, fitted on the sample; 0 takes the vectors as they are."
    )
    umap: int = Field(
        0, ge=0, le=64, description="Dimensions of a UMAP layout of the sample in which density is looked at; 0: none."
    )
    neighbors: int = Field(10, ge=2, le=100, description="Nearest sampled images that vote on an image.")
    quantile: float = Field(
        0.99, gt=0.0, le=1.0, description="Share of a cluster's sampled members within its cut-off: less gives more noise."
    )
    seed: int = Field(42, ge=-1, lt=2**31, description="Seed of sample and layout; -1 draws one.")

    @model_validator(mode="after")
    def _sizes(self) -> "Partitioned":
        if self.sample < 2 * self.fewest:
            raise ValueError(
                f"a sample of {self.sample} can't hold two clusters of min_cluster_size ({self.fewest}); raise sample, or "
                "lower min_cluster_size"
            )
        if self.neighbors > self.fewest:
            raise ValueError(
                f"neighbors ({self.neighbors}) is over min_cluster_size ({self.fewest}), so that the smallest clusters "
                "would be outvoted; lower it, or raise min_cluster_size"
            )
        if self.min_samples > self.neighbors:
            raise ValueError(
                f"min_samples ({self.min_samples}) is over neighbors ({self.neighbors}), so that no image could have that "
                "many in its cluster; raise neighbors, or lower min_samples"
            )
        return self

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the clusters."""
        if rows.num_rows <= self.sample:
            context.note("sampled", rows.num_rows)
            return super().run(rows, context)
        import numpy as np

        from shoal_plugins.cluster._labels import NOISE, clusters_table, note_result
        from shoal_plugins.cluster._votes import Votes
        from shoal_plugins.reduce._layout import draw_seed
        from shoal_plugins.reduce._matrix import blocks, matrix

        seed = draw_seed(self.seed)
        drawn = draw(rows["id"], self.sample, seed)
        vectors = _gather(rows, drawn)
        shorten = self._fit_axes(vectors)
        sample = self._cluster(shorten(vectors), seed, context)
        votes = Votes(sample, self.neighbors, self.min_samples, self.quantile)
        labels = np.empty(rows.num_rows, dtype=np.int32)
        strength, outlier = np.empty(rows.num_rows, dtype=np.float32), np.empty(rows.num_rows, dtype=np.float32)
        for part in blocks(rows.num_rows):
            points = shorten(matrix(rows.slice(part.start, part.stop - part.start)))
            labels[part], strength[part], outlier[part] = votes.assign(points)
        labels[drawn], strength[drawn], outlier[drawn] = sample.labels, sample.strength, votes.outlier
        strength[labels == NOISE] = 0
        if self.noise == "nearest":
            self._adopt(rows, labels, shorten, votes, context)
        context.note("seed", seed)
        context.note("sampled", self.sample)
        context.note("smallest_group", -(-self.fewest * rows.num_rows // self.sample))
        return note_result(clusters_table(rows, labels, strength, outlier, self.produces()), context.note)

    def _fit_axes(self, vectors: "Matrix") -> "Axes | Prepare":
        """Return what shortens rows; only prepares them where they are short enough."""
        from shoal_plugins.reduce._linear import Prepare, axes

        prepare = Prepare(unit=self.metric == "cosine")
        if not 0 < self.components < vectors.shape[1]:
            return prepare
        return axes(vectors, self.components, prepare)

    def _cluster(self, points: "Matrix", seed: int, context: Context) -> "Clustered":
        """Return the sample with its clusters."""
        import numpy as np

        from shoal_plugins.cluster._hdbscan_backends import fit
        from shoal_plugins.cluster._votes import Clustered
        from shoal_plugins.reduce._matrix import all_alike

        backend = self._choose(context)
        points = np.ascontiguousarray(points)
        if all_alike(points):
            return Clustered(points, np.zeros(len(points), dtype=np.int64), np.ones(len(points)))
        labels, strength, _ = fit(backend, self._lay_out(points, seed) if self.umap else points, self)
        return Clustered(points, labels, np.nan_to_num(np.clip(strength, 0, 1), nan=1.0))

    def _lay_out(self, points: "Matrix", seed: int) -> "Matrix":
        from shoal_plugins.reduce._layout import Plan, lay_out

        plan = Plan(self.umap, neighbors=15, min_dist=0.0, metric="euclidean", epochs=None, layouts=1, seed=seed)
        return lay_out(points, plan)[0]

    def _adopt(
        self, rows: pa.Table, labels: "NDArray[np.int32]", shorten: "Axes | Prepare", votes: "Votes", context: Context
    ) -> None:
        """Send noise to the nearest centroid, in place."""
        from shoal_plugins.cluster._labels import NOISE
        from shoal_plugins.reduce._matrix import blocks, matrix

        adopted = 0
        for part in blocks(len(labels)):
            noise = labels[part] == NOISE
            found = votes.nearest(shorten(matrix(rows.slice(part.start, part.stop - part.start)))[noise])
            labels[part][noise] = found
            adopted += int((found != NOISE).sum())
        context.note("adopted", adopted)


def draw(ids: pa.ChunkedArray, count: int, seed: int) -> "NDArray[np.int64]":
    """Return the places of the `count` ids with the smallest hashes, in the order of these.

    Each id is hashed by itself, so that neither the order of the ids nor the other ones say which are drawn first.
    """
    import numpy as np

    key = seed.to_bytes(8, "big")
    hashes = np.empty(len(ids), dtype=np.uint64)
    place = 0
    for batch in (batch for chunk in ids.chunks for batch in _pieces(chunk)):
        codes = b"".join(hashlib.blake2b(text.encode(), digest_size=8, key=key).digest() for text in batch.to_pylist())
        hashes[place : place + len(batch)] = np.frombuffer(codes, dtype=np.uint64)
        place += len(batch)
    first = np.argpartition(hashes, count - 1)[:count]
    return first[np.argsort(hashes[first], kind="stable")]


def _pieces(chunk: pa.Array) -> "list[pa.Array]":
    from shoal_plugins.reduce._matrix import blocks

    return [chunk.slice(part.start, part.stop - part.start) for part in blocks(len(chunk))]


def _gather(rows: pa.Table, places: "NDArray[np.int64]") -> "Matrix":
    """Return the vectors of some rows, read a block at a time."""
    import numpy as np

    from shoal_plugins.reduce._matrix import BLOCK, blocks, matrix

    order = np.argsort(places, kind="stable")
    ascending = places[order]
    found = np.empty((len(places), matrix(rows.slice(0, 1)).shape[1]), dtype=np.float32)
    for part in blocks(rows.num_rows):
        first, last = np.searchsorted(ascending, [part.start, part.stop])
        if first < last:
            found[order[first:last]] = matrix(rows.slice(part.start, BLOCK))[ascending[first:last] - part.start]
    return found


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Partitioned,)
