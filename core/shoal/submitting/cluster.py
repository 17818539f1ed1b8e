"""The job server of a Ray cluster, with its refusals in one sentence each."""

import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shoal.errors import ShoalError, UsageError

ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Variables that Ray's client lets win over the address that it is given."""

MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
DEFAULT_TOKEN = Path("~/.ray/auth_token")
TALKATIVE = ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk", "ray._private.runtime_env.packaging")
"""Loggers of Ray that tell of each upload."""

CONNECT_SECONDS = 5.0
AGENT_SECONDS = 180.0
"""The job server listens before the agent of its node, which takes jobs, is up: seconds, minutes on a busy machine."""

OLDEST = (2, 50)
"""Ray that shoal's jobs need, as in pyproject.toml."""


@dataclass(frozen=True)
class Job:
    """A job as the cluster tells of it.

    Attributes:
        id: that it was submitted with.
        status: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.
        command: what it runs.
        message: what Ray says of its state.
        code: exit code of the command; None while it runs, or where it never began.
        started, ended: seconds since 1970; 0 where not known.
        metadata: texts that were sent along.
        placed: whether a node took it; one that never began has none.
    """

    id: str
    status: str
    command: str = ""
    message: str = ""
    code: int | None = None
    started: float = 0.0
    ended: float = 0.0
    metadata: tuple[tuple[str, str], ...] = ()
    placed: bool = False

    @property
    def over(self) -> bool:
        """Whether it ended, well or not."""
        return self.status in ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass(frozen=True)
class Cluster:
    """A cluster by the address of its job server, such as `http://head:8265`.

    Attributes:
        address: URL.
        token_file: file of the token; None takes what RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH say.
    """

    address: str
    token_file: str | None = None

    @classmethod
    def named(cls, address: str | None, token_file: str | None = None) -> "Cluster":
        """Return the cluster at an address; None takes RAY_API_SERVER_ADDRESS.

        Raises:
            UsageError: no address, or one of another protocol.
        """
        given = address or os.environ.get(ADDRESS_VARIABLES[0])
        if not given:
            raise UsageError("which cluster? name its job server: --address http://HEAD:8265")
        url = given if "://" in given else f"http://{given}"
        if urlsplit(url).scheme not in ("http", "https"):
            raise UsageError(f"{given} is no address of a job server; write --address http://HEAD:8265, Ray's dashboard")
        return cls(url.rstrip("/"), token_file)

    @cached_property
    def client(self) -> Any:
        """Ray's client of the job server.

        Raises:
            UsageError: nobody answers, the token is missing or wrong, or the cluster's Ray is too old.
        """
        try:
            from ray.job_submission import JobSubmissionClient
        except ImportError as error:
            raise UsageError("jobs need Ray's job client: pip install 'shoal[cluster]'") from error
        for name in TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        self._knock()
        with _without(ADDRESS_VARIABLES), self._refusals():
            client = JobSubmissionClient(self.address, headers=self._headers() or None)
        _check_version(self.address, str(client._server_ray_version or ""))
        return client

    @property
    def note(self) -> str:
        """What a user should know of the cluster before he trusts it with a job; mostly nothing."""
        from ray import __version__

        return other_ray(self.address, str(self.client._server_ray_version or ""), __version__)

    def submit(
        self,
        command: str,
        environment: dict[str, Any],
        metadata: dict[str, str],
        name: str,
        hear: Callable[[str], None] = lambda line: None,
    ) -> str:
        """Send a job and return its id; wait for an agent that is not up yet, and say so once to `hear`."""
        until, told = time.monotonic() + AGENT_SECONDS, False
        while True:
            try:
                with self._refusals():
                    return str(
                        self.client.submit_job(
                            entrypoint=command, runtime_env=environment, metadata=metadata, submission_id=name
                        )
                    )
            except ClusterError as error:
                if "No available agent" not in str(error) or time.monotonic() > until:
                    raise
                if not told:
                    hear(f"the cluster at {self.address} takes no jobs yet; waiting for it, {AGENT_SECONDS:.0f} s at most")
                told = True
                time.sleep(1.0)

    def job(self, name: str) -> Job:
        """Return a job as it stands.

        Raises:
            ClusterError: there is none of that name, or the server does not answer.
        """
        with self._refusals():
            return _job(self.client.get_job_info(name))

    def jobs(self) -> list[Job]:
        """Return every job that was submitted, the oldest first."""
        with self._refusals():
            found = [_job(details) for details in self.client.list_jobs() if details.submission_id]
        return sorted(found, key=lambda job: job.started)

    def logs(self, name: str) -> str:
        """Return all that a job printed so far."""
        with self._refusals():
            return str(self.client.get_job_logs(name))

    def stop(self, name: str) -> bool:
        """Ask a job to end; False where it has ended already."""
        with self._refusals():
            return bool(self.client.stop_job(name))

    def _knock(self) -> None:
        """Try the port for some seconds: Ray's client would wait for minutes."""
        place = urlsplit(self.address)
        port = place.port or (443 if place.scheme == "https" else 80)
        try:
            socket.create_connection((place.hostname or "", port), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            raise UsageError(
                f"nobody answers at {self.address} ({error.strerror or error}); is the cluster up, and is this the "
                "address of its dashboard (port 8265)?"
            ) from error

    def _headers(self) -> dict[str, str]:
        token = self._token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _token(self) -> str:
        """Return the token; empty where none is named. One that lies in the home goes only where token mode is asked for."""
        if self.token_file is None and os.environ.get(TOKEN):
            return os.environ[TOKEN].strip()
        named = self.token_file or os.environ.get(TOKEN_PATH)
        path = Path(named).expanduser() if named else DEFAULT_TOKEN.expanduser()
        if not named and (os.environ.get(MODE) != "token" or not path.is_file()):
            return ""
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise UsageError(f"the token file {path} can't be read: {error}") from error

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            raise UsageError(self._unauthorised(str(error))) from error
        except (ConnectionError, OSError) as error:
            raise UnansweredError(
                f"{self.address} does not answer any more ({_brief(error)}); the job goes on if Ray does"
            ) from error
        except RuntimeError as error:
            raise ClusterError(f"the cluster at {self.address} refuses: {_brief(error)}") from error

    def _unauthorised(self, said: str) -> str:
        if "failed" in said.partition(":")[0]:
            return f"the cluster at {self.address} refuses the token; take the one that its head was started with"
        return (
            f"the cluster at {self.address} wants a token; name its file with --token-file, or in {TOKEN_PATH} together "
            f"with {MODE}=token"
        )


class ClusterError(ShoalError):
    """The cluster refuses what it was asked."""


class UnansweredError(ClusterError):
    """The job server does not answer now."""


def _job(details: Any) -> Job:
    metadata = {str(key): str(value) for key, value in (details.metadata or {}).items()}
    return Job(
        id=str(details.submission_id),
        status=str(getattr(details.status, "value", details.status)),
        command=str(details.entrypoint),
        message=str(details.message or ""),
        code=details.driver_exit_code,
        started=(details.start_time or 0) / 1000,
        ended=(details.end_time or 0) / 1000,
        metadata=tuple(sorted(metadata.items())),
        placed=bool(details.driver_node_id),
    )


def other_ray(address: str, theirs: str, ours: str) -> str:
    """Return a sentence where a cluster's Ray is another release than the one here; empty where it is the same."""
    if not theirs or theirs.split(".")[:2] == ours.split(".")[:2]:
        return ""
    return f"the cluster at {address} runs Ray {theirs}, and here is {ours}; if the job fails oddly, make them one release"


def _check_version(address: str, theirs: str) -> None:
    numbers = tuple(int(number) for number in re.findall(r"\d+", theirs)[:2])
    if numbers and numbers < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise UsageError(f"the cluster at {address} runs Ray {theirs}, and shoal needs {wanted} or newer; update its image")


def _brief(error: BaseException) -> str:
    """Return what Ray's client says, without the traceback that the server sent along."""
    text = re.sub(r"^Request failed with status code \d+: ", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return (lines[-1] if lines[0].startswith("Traceback") else lines[0])[:300].rstrip(".")


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
