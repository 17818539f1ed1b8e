"""`rescue.captions`: compares what captions say of noise images with what they say of clusters."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import AfterValidator, Field, PrivateAttr

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Rescuer
from shoal_plugins.rescue._texts import MINILM, model_identity, named, open_texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from shoal_plugins.rescue._likeness import Captions as Texts
    from shoal_plugins.rescue._likeness import Ranking


class Captions(Rescuer):
    """Suggest for each noise image the cluster whose label or captions are most like its own caption.

    Captions and labels become vectors of a text model. A cluster's `score` is the larger of two cosines: the caption of the
    noise image with the cluster's label, and with the mean of the captions of its members (those that have one: its
    representatives, or all with `--set caption.only=all`, which finds more). Over `threshold` the likest cluster is
    suggested, unless another is as like. Beside it stands what the picture says, whatever the words say:
    `nearest`, the cluster whose centroid is nearest in the embedding.

    Of photographs hidden in noise, with the captions of `caption.tags` for five images a cluster, 91 % of the suggestions
    were right and 73 % of the photographs came back (`docs/benchmarks.md`); with `agree`, 99 % and 72 %.

    An image without a caption, or with one that the text model can't read, has no score, and still has its `nearest`. A
    label that two clusters share counts for neither. Noise in a set without clusters gets nothing. The default text model
    reads English and comes with shoal; for other languages name a multilingual one.

    Source: Reimers and Gurevych, Sentence-BERT, 2019 (arXiv 1908.10084); all-MiniLM-L6-v2 (Apache-2.0), its file's sha256
    pinned.
    """

    name: ClassVar[str] = "captions"
    shorthand: ClassVar[str | None] = "text_model"

    threshold: float = Field(0.60, ge=-1, le=1, description="Score from which on the likest cluster is suggested.")
    min_margin: float = Field(
        0.0, ge=0, le=2, description="What a suggestion must be ahead of the next cluster; refuses what is ambiguous."
    )
    agree: bool = Field(
        False,
        description="Whether a cluster is suggested only if its centroid is the nearest, too: fewer suggestions, and hardly "
        "any wrong.",
    )
    compare: Literal["both", "labels", "captions"] = Field(
        "both", description="What of a cluster is compared: its label, its captions, or whichever is more like."
    )
    text_model: Annotated[str, AfterValidator(named)] = Field(
        MINILM,
        min_length=1,
        description="`minilm` (all-MiniLM-L6-v2, English, no download), or any model of sentence-transformers: its name on "
        "the hub or a folder. These need `pip install 'shoal[texts]'`.",
    )
    revision: str = Field("main", min_length=1, description="Branch, tag or commit on the hub; `minilm` has one only.")

    _model: Any = PrivateAttr(default=None)

    def identity(self) -> dict[str, Any]:
        """Return options; the sha256 of the text model's files, where they are known, in place of a folder's path."""
        identity, hashes = super().identity(), model_identity(self.text_model)
        if self.text_model != MINILM and hashes:
            identity["options"]["text_model"] = "folder"
        return {**identity, "text_model": hashes} if hashes else identity

    def setup(self, context: Context) -> None:
        """Open the text model.

        Raises:
            StageError: it can't be had on this machine.
        """
        self._model = open_texts(self.text_model, self.revision, context)

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return a row for each noise image, in the order of `rows`."""
        import numpy as np

        from shoal_plugins.rescue._likeness import Captions as Texts
        from shoal_plugins.rescue._likeness import centroids, nearest

        numbers = rows["cluster"].to_numpy()
        clusters, members = np.unique(numbers[numbers >= 0]), np.full(len(numbers), -1, dtype=np.int64)
        members[numbers >= 0] = np.searchsorted(clusters, numbers[numbers >= 0])
        noise = np.flatnonzero(numbers < 0)
        texts = Texts.of(rows["caption"] if "caption" in rows.column_names else None, len(numbers))
        said = self._said(rows, texts, members, noise, len(clusters))
        vectors = _vectors(rows)
        seen = nearest(vectors[noise], centroids(vectors, members, len(clusters)))
        captioned = int((texts.of_image[noise] >= 0).sum())
        context.note("captioned", f"{captioned} of {len(noise)} noise images")
        if unread := captioned - int((said.best >= 0).sum()) if len(clusters) else 0:
            context.note("unread", f"{unread} captions could not be compared: the text model can't read them")
        return self._table(rows["id"].take(pa.array(noise)), clusters, said, seen)

    def _said(
        self, rows: pa.Table, texts: "Texts", members: "NDArray[np.int64]", noise: "NDArray[np.int64]", count: int
    ) -> "Ranking":
        """Return the clusters that the captions of noise images are likest to."""
        from shoal_plugins.rescue._likeness import label_vectors, unranked

        if not count or not len(noise):
            return unranked(len(noise))
        described = []
        if self.compare != "captions":
            described.append(label_vectors(_labels(rows, members, count), self._model))
        if self.compare != "labels":
            described.append(texts.centroids(members, count, self._model))
        return texts.rank(noise, described, self._model)

    def _table(self, ids: pa.ChunkedArray, clusters: "NDArray[np.int32]", said: "Ranking", seen: "Ranking") -> pa.Table:
        import numpy as np

        from shoal_plugins.rescue._likeness import TIE

        margin = said.score - said.runner_up_score
        alone = (said.best >= 0) & (said.runner_up < 0)
        clear = alone | ((margin > TIE) & (margin >= np.float32(self.min_margin)))
        sure = clear & (said.score >= np.float32(self.threshold))
        if self.agree:
            sure &= said.best == seen.best
        suggested = np.where(sure, said.best, -1)

        def numbers(places: "NDArray[np.int64]") -> pa.Array:
            found = clusters[np.maximum(places, 0)] if len(clusters) else np.zeros(len(places), dtype=np.int32)
            return pa.array(found, pa.int32(), mask=places < 0)

        def values(floats: "NDArray[np.float32]") -> pa.Array:
            return pa.array(floats, pa.float32(), mask=np.isnan(floats))

        made = [
            numbers(suggested), numbers(said.best), values(said.score), numbers(said.runner_up),
            values(said.runner_up_score), values(margin), numbers(seen.best), values(seen.score),
        ]  # fmt: skip
        return pa.table([ids, *made], schema=pa.schema([pa.field("id", pa.string(), nullable=False), *self.produces()]))


def _vectors(rows: pa.Table) -> "NDArray[np.float32]":
    from shoal_plugins.reduce._matrix import matrix

    return matrix(rows)


def _labels(rows: pa.Table, members: "NDArray[np.int64]", count: int) -> list[str | None]:
    """Return the label of each cluster: every member carries it."""
    import numpy as np

    if "label" not in rows.column_names:
        return [None] * count
    _, first = np.unique(members[members >= 0], return_index=True)
    places = np.flatnonzero(members >= 0)[first]
    found: list[str | None] = rows["label"].take(pa.array(places)).to_pylist()
    return found


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Captions,)
