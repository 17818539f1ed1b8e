"""A run's sign of life in its folder, from which other machines tell how far it is and whether it still lives."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic

from pydantic import BaseModel, ConfigDict

from shoal.errors import ShoalError
from shoal.runner.progress import Progress
from shoal.store import Folder

HEARTBEAT = "heartbeat.json"
EVERY = 10.0
"""Seconds between two signs of life: an object store takes a request for each."""

JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Variable in which Ray tells a job's process of its job."""


class Heartbeat(BaseModel):
    """How far a run was when it last gave a sign of life.

    Attributes:
        at: time of the sign, UTC, ISO 8601.
        every: seconds until the next one.
        step: name of the step under way; several that share a pass are joined by ` + `. Empty between steps.
        total, done: rows of the step.
        seconds: that the step has taken so far.
    """

    model_config = ConfigDict(extra="ignore")

    at: str
    every: float = EVERY
    step: str = ""
    total: int = 0
    done: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Rows a second; 0 before there is one."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Estimate of the seconds that the step still takes; None before there is a rate."""
        return (self.total - self.done) / self.rate if self.rate else None


def job_name() -> str:
    """Return the name of the Ray job that this process is; empty where it is none."""
    try:
        metadata = json.loads(os.environ.get(JOB_CONFIG, "{}")).get("metadata") or {}
    except (ValueError, AttributeError):
        return ""
    return str(metadata.get("job_submission_id") or "")


class Beating:
    """A progress that passes on what it hears and remembers it for the next sign of life.

    Args:
        folder: of the run.
        inner: hears of the steps, too.
    """

    def __init__(self, folder: Folder, inner: Progress) -> None:
        """Remember nothing yet."""
        self.folder, self.inner = folder, inner
        self._lock = threading.Lock()
        self._steps: dict[str, tuple[int, int, float]] = {}  # total, done, when it began

    def start(self, step: str, total: int) -> None:
        """Remember a step."""
        with self._lock:
            self._steps[step] = (total, 0, monotonic())
        self.inner.start(step, total)

    def advance(self, step: str, rows: int) -> None:
        """Count its rows."""
        with self._lock:
            if step in self._steps:
                total, done, began = self._steps[step]
                self._steps[step] = (total, done + rows, began)
        self.inner.advance(step, rows)

    def finish(self, step: str, note: str) -> None:
        """Forget it."""
        with self._lock:
            self._steps.pop(step, None)
        self.inner.finish(step, note)

    def tell(self, message: str) -> None:
        """Pass it on."""
        self.inner.tell(message)

    def beat(self) -> None:
        """Write a sign of life; a store that takes none now is no trouble of the run."""
        with self._lock:
            steps = dict(self._steps)
        seen = Heartbeat(at=datetime.now(UTC).isoformat(timespec="seconds"), every=EVERY)
        if steps:
            total, done, began = next(iter(steps.values()))
            seen = seen.model_copy(
                update={"step": " + ".join(steps), "total": total, "done": done, "seconds": monotonic() - began}
            )
        try:
            self.folder.write_json(HEARTBEAT, seen.model_dump(mode="json"))
        except ShoalError:
            return


@contextmanager
def beating(folder: Folder, inner: Progress) -> Iterator[Beating]:
    """Give signs of life while the block runs, from a thread of its own: a step may be silent for long."""
    progress, over = Beating(folder, inner), threading.Event()

    def keep_on() -> None:
        while not over.wait(EVERY):
            progress.beat()

    progress.beat()
    thread = threading.Thread(target=keep_on, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield progress
    finally:
        over.set()
        thread.join()
