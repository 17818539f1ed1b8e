"""Live predictions: images that the run has not seen are read, embedded and put beside its clusters.

The embedder is set up once a process, after it started and never for a request; one thread at a time uses it. How much work
may wait is bounded by the number of requests that do, each of which has a handful of images in memory.
"""

import hashlib
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from shoal.contract import Batch, Context
from shoal.errors import ImageError, ShoalError, StageError
from shoal.images import Limits, decode
from shoal.vectors import to_numpy
from shoal_ls.service.fetching import MAX_BYTES, Places
from shoal_ls.service.predicting import Prediction, Unseen, chosen
from shoal_ls.service.snapshot import Snapshot

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from shoal.contract import Pixels
    from shoal.kinds import Embedder

    Vector = NDArray[np.float32]

TOGETHER = 8
"""Images that a request reads before they are embedded."""
SECONDS = 80.0
"""Label Studio waits 100 for predictions."""
REMEMBERED = 4_096
LIMITS = Limits(max_file_bytes=MAX_BYTES, seconds=10.0, memory=2**30)

log = logging.getLogger(__name__)


class Busy(ShoalError):  # noqa: N818  (an outcome)
    """As much live work waits as may."""


class Live:
    """Embeds images that the run has not seen."""

    def __init__(
        self,
        places: Places,
        *,
        requests: int,
        seconds: float = SECONDS,
        told: Callable[[], object] = lambda: None,
    ) -> None:
        """Take where images may be read from.

        Args:
            places: allowed places.
            requests: that may have live work at once.
            seconds: after which a request gives up its other images.
            told: hears that a model was set up.
        """
        self.places, self._seconds, self._told = places, seconds, told
        self._room = threading.BoundedSemaphore(requests)
        self._model = threading.Lock()
        self._ready: tuple[int, Embedder, str] | None = None
        self._vectors: OrderedDict[tuple[Embedder, str], Vector] = OrderedDict()

    def warm(self, snapshot: Snapshot) -> None:
        """Read the clusters' vectors and set the embedder up before anybody asks; what is wrong is told with the answers."""
        try:
            stage = snapshot.neighbours.embedder
            with self._model:
                self._set_up(stage)
        except Exception as error:  # an embedder may raise anything; predictions from the store need none
            log.warning("no live predictions", extra={"reason": f"{type(error).__name__}: {error}"})

    def predict(self, unseen: Sequence[Unseen], snapshot: Snapshot) -> list[Prediction]:
        """Return a prediction for each image, empty with a reason where there is none.

        Raises:
            Busy: too many requests wait for the embedder.
        """
        if not self._room.acquire(blocking=False):
            raise Busy("too many images wait for the embedder; ask again later, or run shoal over them first")
        try:
            return self._predict(unseen, snapshot, time.monotonic() + self._seconds)
        finally:
            self._room.release()

    def _predict(self, unseen: Sequence[Unseen], snapshot: Snapshot, ends: float) -> list[Prediction]:
        made: list[Prediction] = []
        for start in range(0, len(unseen), TOGETHER):
            part = unseen[start : start + TOGETHER]
            if time.monotonic() > ends:
                made += [Prediction(reason=f"not reached within {self._seconds:g} seconds")] * len(part)
                continue
            try:
                made += self._answer(part, snapshot)
            except Exception as error:  # an embedder may raise anything: these images have no prediction, others may
                log.warning("images could not be embedded", extra={"reason": f"{type(error).__name__}: {error}"})
                said = str(error) if isinstance(error, ShoalError) else f"the embedder failed: {type(error).__name__}"
                made += [Prediction(reason=said)] * len(part)
        return made

    def _answer(self, part: Sequence[Unseen], snapshot: Snapshot) -> list[Prediction]:
        images = [self._read(each, snapshot) for each in part]
        vectors = self._embed([image for image in images if isinstance(image, _Image)], snapshot)
        answers = []
        for each, image in zip(part, images, strict=True):
            found = image if isinstance(image, ImageError) else vectors[image.id]
            if isinstance(found, ImageError):
                answers.append(Prediction(reason=str(found)))
                continue
            ranked = snapshot.ranking(image.id) if isinstance(image, _Image) else ()
            ranked = ranked or snapshot.neighbours.rank(found[None])[0]
            answers.append(chosen(ranked, each.control, each.data, snapshot.labels))
        return answers

    def _read(self, each: Unseen, snapshot: Snapshot) -> "_Image | ImageError":
        try:
            data = self.places.read(each.place, (snapshot.root,))
        except ImageError as error:
            return error
        return _Image(hashlib.sha256(data).hexdigest(), data)

    def _embed(self, images: "Sequence[_Image]", snapshot: Snapshot) -> "dict[str, Vector | ImageError]":
        """Return the vector of each image, or why it has none, by id; it is computed once while it is remembered."""
        stage = snapshot.neighbours.embedder
        found: dict[str, Vector | ImageError] = {}
        pixels: dict[str, Pixels] = {}
        for image in images:
            known = self._vectors.get((stage, image.id))
            try:
                if known is not None:
                    found[image.id] = known
                else:
                    pixels[image.id] = _pixels(image.data, stage)
            except ImageError as error:
                found[image.id] = error
        return found | self._run(pixels, stage)

    def _run(self, pixels: "dict[str, Pixels]", stage: "Embedder") -> "dict[str, Vector]":
        if not pixels:
            return {}
        rows = pa.table({"id": pa.array(list(pixels), pa.string())})
        with self._model:
            answer = self._set_up(stage).answer(Batch(rows, list(pixels.values())))
            made = dict(zip(pixels, to_numpy(answer["embedding"]), strict=True))
            self._vectors.update(((stage, image), vector) for image, vector in made.items())
            while len(self._vectors) > REMEMBERED:
                self._vectors.popitem(last=False)
        return made

    def _set_up(self, stage: "Embedder") -> "Embedder":
        """Return the stage with its weights: loaded once a process, and again only where a new run has another embedder."""
        if self._ready is None or self._ready[:2] != (os.getpid(), stage):
            self._ready = (os.getpid(), stage, _loaded(stage))
            self._told()
        _, ready, trouble = self._ready
        if trouble:
            raise StageError(trouble)
        return ready


@dataclass(frozen=True)
class _Image:
    """Bytes and their hash."""

    id: str
    data: bytes


def _loaded(stage: "Embedder") -> str:
    """Load weights and return what went wrong; empty: nothing."""
    try:
        stage.setup(Context(threads=max((os.cpu_count() or 2) // 2, 1)))
    except Exception as error:  # an embedder may raise anything; it is not tried again for every request
        return f"the embedder can't be set up ({type(error).__name__}: {error}); mend that and start the backend again"
    return ""


def _pixels(data: bytes, stage: "Embedder") -> "Pixels":
    assert stage.pixels is not None  # noqa: S101  (`embedder` refuses stages without)
    return decode(data, stage.pixels, LIMITS)
