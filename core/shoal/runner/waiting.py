"""Says aloud what work without any worker waits for, and ends the wait at its limit: nothing hangs silently."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from shoal.errors import RunFailed


@dataclass(frozen=True)
class Patience:
    """How long work waits.

    Attributes:
        tell: seconds without room on a cluster whose nodes are taken, until it says so.
        limit: seconds without room, until it gives up.
        setup: seconds in which no worker gets ready, until it says so. There is no limit: weights of 100 GB take their time.
    """

    tell: float = 10.0
    limit: float = 3600.0
    setup: float = 60.0


class WaitingRoom:
    """Watches one piece of work: a pass, or a round of table jobs."""

    def __init__(self, patience: Patience, say: Callable[[str], None]) -> None:
        """Begin to wait now."""
        self.patience, self.say = patience, say
        self._since, self._said = monotonic(), False
        self._setup_since, self._setup_said = monotonic(), False

    def look(self, placed: bool, cpus: float, gpus: float, possible: bool) -> None:
        """Look once more.

        Args:
            placed: whether some worker has its place: then nobody waits.
            cpus: of a worker.
            gpus: of a worker.
            possible: whether some node is large enough, one that an autoscaler may start among them.

        Raises:
            RunFailed: the limit is reached.
        """
        now = monotonic()
        if placed:
            self._since, self._said = now, False
            return
        waited = now - self._since
        need = f"{cpus:g} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
        why = "nodes are taken by other work, or still to come" if possible else "no node of the cluster is that large now"
        if waited >= self.patience.limit:
            raise RunFailed(
                f"a worker of {need} found no room in {self.patience.limit:g} s: {why}; the same command goes on"
            )
        if waited >= self.patience.tell and not self._said:
            self._said = True
            self.say(
                f"waiting for room for a worker of {need}: {why}; goes on by itself when there is room, "
                f"gives up {self.patience.limit:g} s after it began to wait"
            )

    def look_at_setup(self, placed: bool, ready: bool) -> None:
        """Say once that workers have their places and that none of them gets ready to work.

        Args:
            placed: whether some worker has its place.
            ready: whether some worker is set up.
        """
        now = monotonic()
        if ready or not placed:
            self._setup_since = now
        elif not self._setup_said and now - self._setup_since >= self.patience.setup:
            self._setup_said = True
            self.say(
                f"workers have been setting up their stages for {self.patience.setup:g} s, and none is ready: large weights "
                "take their time; if it never ends, press Ctrl-C (what was computed is kept) and look into the workers' logs"
            )
