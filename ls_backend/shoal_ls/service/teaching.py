"""Has a head trained when enough was decided since the last one: in a process of its own, one at a time."""

import logging
import subprocess

from shoal_ls.learning import train_in_background
from shoal_ls.service.snapshot import Snapshot

log = logging.getLogger(__name__)


class Teacher:
    """Starts trainings. A head that is better than the one before is found by the look-out for newer versions."""

    def __init__(self) -> None:
        """Begin with none under way."""
        self._training: subprocess.Popen[bytes] | None = None

    def look(self, snapshot: Snapshot) -> None:
        """Start a training where one is due and none goes on; what is wrong with it hurts no prediction."""
        if self._training is not None and self._training.poll() is None:
            return
        try:
            self._training = train_in_background(snapshot.run)
        except Exception as error:  # whatever it is, predictions go on with what there is
            log.error("no head can be trained", extra={"reason": f"{type(error).__name__}: {error}"})
            return
        if self._training is not None:
            log.info("training a head", extra={"run": snapshot.run.id})

    def stop(self) -> None:
        """End a training; the next process begins it again."""
        if self._training is not None and self._training.poll() is None:
            self._training.terminate()
            self._training.wait()
