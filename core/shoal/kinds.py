"""The kinds of stage, one class each: this file is the list of shoal's extension points.

A kind fixes the columns, so that stages of one kind stand in for one another. Subclass one, give it a `name`, return the
class from the hook `shoal_stages`, and `shoal.testing.check_stage` tells whether it keeps the contract.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from pydantic import Field

from shoal.contract import Batch, Context, ImageSpec, MapStage, RowsFailed, Stage, TableStage
from shoal.errors import StageError
from shoal.preparing import PREPARATION_VERSION, Preparation
from shoal.schema import columns, vector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from shoal.contract import Pixels

LISTING = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),  # absolute path or URI
        pa.field("bytes", pa.int64()),
        pa.field("mtime_ns", pa.int64()),
        pa.field("item", pa.string()),  # null: the image is its own item
        pa.field("view", pa.string()),
        pa.field("reason", pa.string()),  # null: accepted; else why the file was filtered, in one sentence
        pa.field(
            "failed", pa.bool_()
        ),  # true with a reason: not filtered by an option, but broken (vanished, no permission)
        pa.field("sha256", pa.string()),  # of the bytes, told by the source for all its files; null: found by reading
    ]
)


class Indexer(Stage):
    """Finds the images of a source: a listing, a row a file; `reason` says why a file is left out. Reads no file."""

    kind: ClassVar[str] = "index"

    def produces(self) -> pa.Schema:
        """Return the schema of a listing."""
        return LISTING

    @abstractmethod
    def list_files(self, source: str) -> Iterator[pa.Table]:
        """Yield tables of `LISTING`, of any size, in a stable order.

        Args:
            source: folder, file or URI that the user named.

        Raises:
            UsageError: the source does not exist or can't be listed.
        """


class Thumbnailer(MapStage):
    """Makes the small picture that people see in reports and reviews."""

    kind: ClassVar[str] = "thumbnail"

    def produces(self) -> pa.Schema:
        """Return `thumbnail`: an encoded JPEG."""
        return columns(thumbnail=pa.binary())


class Embedder(MapStage):
    """Turns pixels into a vector. A simple one gives `size` and `embed`; one with more columns overrides `map` too.

    Every embedder has the option `prepare`, and needs no code for it: `map` gets pixels that are prepared already. With
    `prepare.polarity` it is called twice, and the vectors are averaged; other columns are those of the image itself. Where
    a subclass has an option `l2` and it is on, the averaged `embedding` has length 1 again.
    """

    kind: ClassVar[str] = "embed"

    prepare: Preparation = Field(
        Preparation(), description="What is done to the image before the model sees it; nothing by default."
    )

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of components of a vector."""

    @abstractmethod
    def embed(self, images: "Sequence[Pixels]") -> "NDArray[np.float32]":
        """Return an array of shape (number of images, size)."""

    def produces(self) -> pa.Schema:
        """Return `embedding`."""
        return columns(embedding=vector(self.size))

    def map(self, batch: Batch) -> pa.Table:
        """Return the vectors of a batch as a column."""
        from shoal.vectors import from_numpy

        return pa.table([from_numpy(self.embed(batch.images or []))], schema=self.produces())

    @property
    def pixels(self) -> ImageSpec | None:
        """The pixels that it wants, trimmed as `prepare` says.

        Raises:
            StageError: it prepares pixels and asks for none, or a library that preparing needs is missing.
        """
        spec = self.image
        if spec is None:
            if self.prepare != Preparation():
                raise StageError(f"{self.title()} asks for no pixels, so there is nothing to prepare; leave `prepare` out")
            return None
        self.prepare.check()
        trim = self.prepare.trim.edges
        return replace(spec, trim=trim) if any(trim) else spec

    def answer(self, batch: Batch) -> pa.Table:
        """Return `map` of the prepared images; with `prepare.polarity`, its mean with that of their negatives."""
        if batch.images is None or not (self.prepare.touches_pixels or self.prepare.polarity):
            return self.map(batch)
        if not self.prepare.polarity:
            return self.map(Batch(batch.rows, self.prepare.prepared(batch.images)))
        from shoal.vectors import mean

        first, second = (self._whole(Batch(batch.rows, images)) for images in self.prepare.both(batch.images))
        return mean(first, second, unit=("embedding",) if getattr(self, "l2", False) else ())

    def _whole(self, batch: Batch) -> pa.Table:
        """Return `map` of all rows: of two passes that each lack some, no mean could be taken."""
        try:
            return self.map(batch)
        except RowsFailed as some:
            raise next(iter(some.failures.values())) from some

    def identity(self) -> dict[str, Any]:
        """Return options, and how pixels are prepared beside them where they are: kept rows stay those of none."""
        identity = super().identity()
        options = {name: value for name, value in identity["options"].items() if name != "prepare"}
        if self.prepare == Preparation():
            return {**identity, "options": options}
        return {**identity, "options": options, "prepare": {"version": PREPARATION_VERSION, **self.prepare.model_dump()}}


class Reducer(TableStage):
    """Turns vectors into shorter vectors, fitted on all rows."""

    kind: ClassVar[str] = "reduce"
    consumes: ClassVar[pa.Schema] = columns(embedding=vector())

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of components asked for; a set with fewer rows or components is padded with zeros to this size."""

    def produces(self) -> pa.Schema:
        """Return `embedding`."""
        return columns(embedding=vector(self.size))


class Clusterer(TableStage):
    """Gives each image the number of its cluster, from 0 by falling size; noise is -1."""

    kind: ClassVar[str] = "cluster"
    consumes: ClassVar[pa.Schema] = columns(embedding=vector())

    def produces(self) -> pa.Schema:
        """Return `cluster`, `strength` (membership, 0 to 1; noise 0) and `outlier` (0 typical, 1 far off)."""
        return columns(cluster=pa.int32(), strength=pa.float32(), outlier=pa.float32())


class Sampler(TableStage):
    """Picks images for people and captioners: representatives of each cluster, or noise. Rows of the picked images only."""

    kind: ClassVar[str] = "sample"
    consumes: ClassVar[pa.Schema] = columns(embedding=vector(), cluster=pa.int32())

    def produces(self) -> pa.Schema:
        """Return `rank`: 0 for the first picked image of its cluster, 1 for the next."""
        return columns(rank=pa.int32())


class Captioner(MapStage):
    """Says in words what an image shows. Say `only:` in its step to caption some images, such as representatives.

    Class attributes:
        talks: whether `ask` answers: stages that need a language model then borrow this one.
    """

    kind: ClassVar[str] = "caption"
    essential: ClassVar[bool] = False
    talks: ClassVar[bool] = False

    def produces(self) -> pa.Schema:
        """Return `caption`: plain text; null where the stage has nothing to say."""
        return columns(caption=pa.string())

    def ask(self, prompts: Sequence[str], max_tokens: int) -> list[str | Exception]:
        """Return the same model's answer to each prompt without an image, or why there is none. Called after `setup`.

        Args:
            prompts: what a user would type.
            max_tokens: limit of an answer.
        """
        raise NotImplementedError(f"{self.title()} answers no prompts")


class Distiller(MapStage):
    """Boils a caption down to keywords, the most important first."""

    kind: ClassVar[str] = "distil"
    essential: ClassVar[bool] = False
    consumes: ClassVar[pa.Schema] = columns(caption=pa.string())

    def produces(self) -> pa.Schema:
        """Return `keywords`: short phrases, plain text."""
        return columns(keywords=pa.list_(pa.string()))


class Labeller(TableStage):
    """Names the clusters: a row a cluster, noise has none. Names are distinct."""

    kind: ClassVar[str] = "label"
    key = "cluster"
    consumes: ClassVar[pa.Schema] = columns(cluster=pa.int32())

    def produces(self) -> pa.Schema:
        """Return `label` and `reason`, which says in one sentence why this label."""
        return columns(label=pa.string(), reason=pa.string())


class Rescuer(TableStage):
    """Suggests a cluster for noise images: a row a noise image that it could look at. People confirm; nothing moves."""

    kind: ClassVar[str] = "rescue"
    consumes: ClassVar[pa.Schema] = columns(cluster=pa.int32(), embedding=vector())
    optional: ClassVar[pa.Schema] = columns(caption=pa.string(), label=pa.string())

    def produces(self) -> pa.Schema:
        """Return what the words say, and beside it what the picture says.

        `suggested` is a cluster, or null where none is like enough; `best` is the likest one whatever its `score` (cosine,
        -1 to 1), `runner_up` and `runner_up_score` the next, `margin` what lies between them. `nearest` is the cluster
        whose centroid is nearest in the embedding, with `nearest_score` (cosine).
        """
        return columns(
            suggested=pa.int32(), best=pa.int32(), score=pa.float32(), runner_up=pa.int32(),
            runner_up_score=pa.float32(), margin=pa.float32(), nearest=pa.int32(), nearest_score=pa.float32(),
        )  # fmt: skip


class Evaluator(TableStage):
    """Tells how good the clusters are: a row a cluster, and figures of the whole set.

    What it says of a cluster is its own choice of columns. Figures of the whole set go to `context.note("metrics", {...})`,
    names to numbers (a figure that is not defined is left out), what they are held against to `context.note("thresholds",
    {"silhouette": {"at_least": 0.1}})` (or `at_most`), a judgement to `context.note("verdict", "PASS")`, and why, in one
    sentence, to `context.note("reason", ...)`: they stand in the run's record, the report, `shoal show` and MLflow. Files
    for scripts (a matrix) lie in `context.folder`.
    """

    kind: ClassVar[str] = "evaluate"
    key = "cluster"
    consumes: ClassVar[pa.Schema] = columns(embedding=vector(), cluster=pa.int32())


class Organizer(TableStage):
    """Plans where each file goes. It moves nothing: the journal carries the plan out, and undo is its inverse."""

    kind: ClassVar[str] = "organize"
    consumes: ClassVar[pa.Schema] = columns(paths=pa.list_(pa.string()), cluster=pa.int32())
    optional: ClassVar[pa.Schema] = columns(label=pa.string())

    def produces(self) -> pa.Schema:
        """Return `source` (absolute path) and `target` (relative to the root; parts made by `shoal.names`).

        An image with several paths has a row for each; side-cars are rows of their own with their image's id.
        """
        return columns(source=pa.string(), target=pa.string())


class Visualizer(TableStage):
    """Draws a part of the report."""

    kind: ClassVar[str] = "visualize"

    def produces(self) -> pa.Schema:
        """Return one row of `title`, `html` (a fragment), `style` and `script` (inlined by the report with a CSP hash).

        The key column `id` of that row is the stage's name. Files that the fragment names lie in `context.folder`; the
        report rewrites the prefix `files/` to where they are.
        """
        return columns(title=pa.string(), html=pa.string(), style=pa.string(), script=pa.string())

    @abstractmethod
    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the fragment and write its files into `context.folder`."""


KINDS: tuple[type[Stage], ...] = (
    Indexer, Thumbnailer, Embedder, Reducer, Clusterer, Sampler, Captioner, Distiller, Labeller, Rescuer, Evaluator,
    Organizer, Visualizer,
)  # fmt: skip
