"""A job, followed to its end by asking again and again.

Not by Ray's own follower: it breaks where the node's agent comes up after the job began, while the job goes on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from shoal.submitting.cluster import Cluster, ClusterError, GoneError, Job, UnansweredError

PAUSE = 0.5
PATIENCE = 120.0
"""Seconds for which a job server may be silent or in trouble: a head that is being replaced."""

WAITING = 15.0
"""Seconds after which a follower is told that a job has not begun."""

TRIES = 10
"""How often the last lines of a log are asked for: the agent of a node that is gone does not come back."""

GONE = "GONE"
"""Status of a job that the cluster has forgotten, which Ray has no word for."""

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
        ClusterError: there is no such job, or the server has had no answer for long.
    """
    heard, seen, silent_since = _Heard(hear), False, 0.0
    while True:
        try:
            job = cluster.job(name)
            seen = True
            whole = heard.catch_up(cluster, job)
        except GoneError:
            if not seen:
                raise
            return Ended(
                Job(name, GONE), 1, f"job {name} is gone: the cluster's head was replaced; the same command goes on"
            )
        except UnansweredError as error:
            silent_since = silent_since or time.monotonic()
            heard.tell_trouble(error, time.monotonic() - silent_since)
            if time.monotonic() - silent_since > PATIENCE:
                raise
        else:
            silent_since = 0.0
            if job.over and whole:
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
    """Passes on what is new in a log that is always fetched whole, and what a follower should know meanwhile."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        self.hear = hear
        self.passed = 0
        self.tries = 0
        self.began = time.monotonic()
        self.told: set[str] = set()

    def catch_up(self, cluster: Cluster, job: Job) -> bool:
        """Pass on what is new; return whether that is all there can be had of the log."""
        if job.status == "PENDING":
            if time.monotonic() - self.began > WAITING:
                self._once("waits", f"job {job.id} waits: {' '.join(job.message.split())[:300]}")
            return True
        try:
            text = cluster.logs(job.id)
        except ClusterError as error:  # the agent that has the log is not up yet, or its node is gone
            return self._without_log(job, error)
        whole = text if job.over else text[: text.rfind("\n") + 1]
        for line in whole[self.passed :].splitlines():
            self.hear(line)
        self.passed = max(self.passed, len(whole))
        return True

    def tell_trouble(self, error: UnansweredError, seconds: float) -> None:
        """Say once that the server has no answer, where that is more than a hiccup."""
        if seconds > WAITING:
            self._once("trouble", f"{error}; asking again for {PATIENCE:.0f} s")

    def _without_log(self, job: Job, error: ClusterError) -> bool:
        """Return whether to go without: a job's last lines are asked for some times, those of one that runs come later."""
        self.tries += job.over
        if not job.over or (isinstance(error, UnansweredError) and self.tries < TRIES):
            return False
        self.hear(f"the log of job {job.id} can't be had: {error}")
        return True

    def _once(self, what: str, line: str) -> None:
        if what not in self.told:
            self.told.add(what)
            self.hear(line)
