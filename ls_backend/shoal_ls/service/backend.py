"""What answers Label Studio's questions: a run, here, or a ported model (`shoal_ls.service.porting`)."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from shoal.decisions import Decisions
from shoal_ls.service.controls import Config
from shoal_ls.service.current import Current
from shoal_ls.service.draining import recorder
from shoal_ls.service.fetching import Places
from shoal_ls.service.inbox import Kept, State
from shoal_ls.service.live import Busy, Live
from shoal_ls.service.metrics import Metrics
from shoal_ls.service.predicting import Prediction, Unseen, config_of, predict
from shoal_ls.service.snapshot import Snapshot
from shoal_ls.service.teaching import Teacher

log = logging.getLogger(__name__)


class Backend(Protocol):
    """Makes predictions and hears of annotations."""

    def handle(self, found: Sequence[Kept]) -> Mapping[int, State]:
        """Deal with events of the inbox and return what became of each; an error leaves them all for later."""

    def start(self) -> None:
        """Load what is loaded once a process. Called in the process that serves."""

    def stop(self) -> None:
        """End threads."""

    def versions(self) -> list[str]:
        """Return the versions of the model that can be had, the current one first."""

    def setup(self, request: Mapping[str, Any]) -> str:
        """Hear of a project and return the version of the model; takes no time."""

    def predict(self, tasks: list[Any], request: Mapping[str, Any]) -> list[Any]:
        """Return one prediction a task, in order."""


class RunBackend:
    """Answers from a run: from its store, and live for images that it has not seen."""

    def __init__(self, current: Current, live: Live, decisions: Decisions, metrics: Metrics) -> None:
        """Take the parts."""
        self._current, self._live, self._metrics, self._teacher = current, live, metrics, Teacher()
        self._record = recorder(decisions)

    def handle(self, found: Sequence[Kept]) -> Mapping[int, State]:
        """Record what reviewers said."""
        return self._record(found)

    def start(self) -> None:
        """Set the embedder up and begin to look for newer versions."""
        self._teacher.look(self._current.snapshot)
        self._current.start(self._newer)
        self._live.warm(self._current.snapshot)

    def stop(self) -> None:
        """End the look-out, and a training that goes on."""
        self._current.stop()
        self._teacher.stop()

    def _newer(self, snapshot: Snapshot) -> None:
        self._metrics.reloads.inc()
        self._live.warm(snapshot)
        self._teacher.look(snapshot)

    def versions(self) -> list[str]:
        """Return the version that is served."""
        return [self._current.snapshot.version]

    def setup(self, request: Mapping[str, Any]) -> str:
        """Return the version that is served."""
        return self._current.snapshot.version

    def predict(self, tasks: list[Any], request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return one prediction a task, in order; where nothing can be said, an empty one with the reason.

        Raises:
            Busy: some are about images that the run has not seen, and too much live work waits. Label Studio keeps what it
                is told, empty predictions too, and asks again only where it got an error.
        """
        snapshot, config = self._current.snapshot, config_of(request)
        found = [_safely(task, snapshot, config, self._live.places) for task in tasks]
        unseen = [each for each in found if isinstance(each, Unseen)]
        lively = iter(self._lively(unseen, snapshot))
        made = [next(lively) if isinstance(each, Unseen) else each for each in found]
        self._count(found, made)
        return [prediction.json(snapshot.version) for prediction in made]

    def _lively(self, unseen: Sequence[Unseen], snapshot: Snapshot) -> Sequence[Prediction]:
        try:
            return self._live.predict(unseen, snapshot) if unseen else ()
        except Busy:
            self._metrics.refused.inc()
            raise

    def _count(self, found: Sequence[Prediction | Unseen], made: Sequence[Prediction]) -> None:
        for before, after in zip(found, made, strict=True):
            source = "none" if not after.result else "live" if isinstance(before, Unseen) else "store"
            self._metrics.predictions.labels(source).inc()


def _safely(task: object, snapshot: Snapshot, config: Config, places: Places) -> Prediction | Unseen:
    try:
        return predict(task, snapshot, config, places.path_of)
    except Exception as error:  # a task of some shape that nobody thought of costs only itself
        log.error("a task could not be read", extra={"reason": f"{type(error).__name__}: {error}"})
        return Prediction(reason="the task can't be read")
