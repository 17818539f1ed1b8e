"""A job, followed to its end by asking again and again.

Not by Ray's own follower: it breaks where the node's agent comes up after the job began, while the job goes on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from shoal.submitting.cluster import Cluster, ClusterError, Job, UnansweredError

PAUSE = 0.5
PATIENCE = 120.0
"""Seconds for which a job server may be silent: a head that is being replaced."""

WAITING = 15.0
"""Seconds after which a follower is told that a job has not begun."""

CODES = (0, 1, 2)
"""Exit codes of `shoal run`; any other is Ray's or the system's."""

SIGNALS, KILLED = 128, (137, -9)
"""Codes above that, or below 0, are of a signal; SIGKILL is mostly the system's that wants memory back."""


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes:
        job: as the cluster told last.
        code: 0 well, 1 failed, 2 wrong use: that of the command in the job.
        said: one sentence; empty where it ended well.
    """

    job: Job
    code: int
    said: str


def follow(cluster: Cluster, name: str, hear: Callable[[str], None], pause: float = PAUSE) -> Ended:
    """Follow a job until it ended.

    Args:
        cluster: that runs it.
        name: of the job.
        hear: gets each line that the job prints, once.
        pause: seconds between two questions.

    Raises:
        ClusterError: there is no such job, or the server is silent for long.
    """
    heard, silent_since = _Heard(hear), 0.0
    while True:
        try:
            job = cluster.job(name)
            heard.catch_up(cluster, job)
        except UnansweredError:
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since > PATIENCE:
                raise
        else:
            silent_since = 0.0
            if job.over:
                return ended(job)
        time.sleep(pause)


def ended(job: Job) -> Ended:
    """Return how a job that is over ended, its exit code brought to shoal's."""
    if job.status == "SUCCEEDED":
        return Ended(job, 0, "")
    return Ended(job, job.code or 1 if job.code in CODES else 1, f"job {job.id} {_end(job)}")


def _end(job: Job) -> str:
    """Return what became of a job that did not end well."""
    if job.status == "STOPPED":
        return "was stopped; the same command goes on where it was"
    if job.code is None and job.placed:
        return f"was cut off: {_cause(job.message).rstrip('.')}; the same command goes on"
    if job.code is None:
        return f"never began: {_cause(job.message)}"
    if not 0 <= job.code < SIGNALS:
        why = ", of memory most likely" if job.code in KILLED else ""
        return f"was killed (code {job.code}){why}; the same command goes on"
    return f"failed{'' if job.code in CODES else f' with code {job.code}'}; what it says is above"


def _cause(message: str) -> str:
    """Return the line of Ray's message that tells most: pip's error, or the last one."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR:" in line]
    return (errors or lines[-1:] or ["Ray does not say why"])[-1][:300]


class _Heard:
    """Passes on what is new in a log that is always fetched whole."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        self.hear = hear
        self.passed = 0
        self.began = time.monotonic()
        self.told = False

    def catch_up(self, cluster: Cluster, job: Job) -> None:
        if job.status == "PENDING":
            self._tell_waiting(job)
            return
        try:
            text = cluster.logs(job.id)
        except UnansweredError:
            raise
        except ClusterError as error:  # the agent that has the log is not up yet, or its node is gone
            if job.over:
                self.hear(f"the log of job {job.id} can't be had: {error}")
            return
        whole = text if job.over else text[: text.rfind("\n") + 1]
        for line in whole[self.passed :].splitlines():
            self.hear(line)
        self.passed = max(self.passed, len(whole))

    def _tell_waiting(self, job: Job) -> None:
        """Say once why a job does not begin: packages are being installed, or no node has room."""
        if not self.told and time.monotonic() - self.began > WAITING:
            self.told = True
            self.hear(f"job {job.id} waits: {' '.join(job.message.split())[:300]}")
