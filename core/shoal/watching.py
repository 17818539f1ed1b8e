"""How the runs of a store are getting on, seen from any machine."""

from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from shoal.catalogue import reason, runs
from shoal.errors import StoreError
from shoal.records import RunRecord
from shoal.runner.heartbeat import HEARTBEAT, Heartbeat
from shoal.store import Store

MISSED = 6
"""Signs of life that may be missed before a run counts as cut off: clocks differ, and stores are slow at times."""


@dataclass(frozen=True)
class Standing:
    """How a run stands.

    Attributes:
        record: of the run.
        heartbeat: its last sign of life, where it is running.
        silent: seconds since that.
    """

    record: RunRecord
    heartbeat: Heartbeat | None = None
    silent: float = 0.0

    @property
    def state(self) -> str:
        """`running`, `done`, `failed`, or `silent`: it says it runs, and gave no sign of life for long."""
        if self.record.status != "running" or self.heartbeat is None:
            return self.record.status
        return "silent" if self.silent > MISSED * self.heartbeat.every else "running"

    @property
    def failed(self) -> int:
        """Images that steps which are done have no answer for."""
        return sum(step.failed for step in self.record.steps)

    @property
    def said(self) -> str:
        """Why it failed; empty where it did not."""
        return reason(self.record)


def standings(store: Store, now: datetime | None = None, most: int | None = None) -> list[Standing]:
    """Return how the runs of a store stand, the oldest first.

    Args:
        store: that holds them.
        now: the time; None takes this machine's.
        most: the last so many alone; None takes all.
    """
    now = now or datetime.now(UTC)
    return [_standing(store, record, now) for record in runs(store, most)]


def _standing(store: Store, record: RunRecord, now: datetime) -> Standing:
    folder = store.runs / record.id
    if record.status != "running" or not folder.exists(HEARTBEAT):
        return Standing(record)
    try:
        heartbeat = Heartbeat.model_validate(folder.read_json(HEARTBEAT))
        silent = (now - datetime.fromisoformat(heartbeat.at)).total_seconds()
    except (StoreError, ValidationError, ValueError, TypeError):  # half of nothing: written by another shoal
        return Standing(record)
    return Standing(record, heartbeat, max(0.0, silent))
