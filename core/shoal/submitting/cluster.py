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
from urllib.parse import SplitResult, urlsplit

from shoal.errors import ShoalError, UsageError
from shoal.text import without_logins

ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Variables that Ray's client lets win over the address that it is given."""

MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
DEFAULT_TOKEN = Path("~/.ray/auth_token")
TALKATIVE = ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk", "ray._private.runtime_env.packaging")
"""Loggers of Ray that tell of each upload."""

CONNECT_SECONDS = 5.0
ANSWER_SECONDS, SEND_SECONDS = 60.0, 600.0
"""For an answer, and for sending wheels on a slow line: a head whose machine is gone closes no connection."""


AGENT_SECONDS = 180.0
"""The job server listens before the agent of its node, which takes jobs, is up: seconds, minutes on a busy machine."""

STATUS = re.compile(r"Request failed with status code (\d+): ")
NOT_FOUND, SERVER_ERROR = 404, 500
PASSING = (408, 429)
"""Statuses below 500 that say nothing of what was asked: too slow, too often."""

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
            UsageError: no address, one of another protocol, or one that holds a login.
        """
        given = address or os.environ.get(ADDRESS_VARIABLES[0])
        if not given:
            raise UsageError("which cluster? name its job server: --address http://HEAD:8265")
        url = given if "://" in given else f"http://{given}"
        place = _parts(url)
        if place is None or place.scheme not in ("http", "https") or not place.hostname:
            shown = without_logins(given)
            raise UsageError(f"{shown} is no address of a job server; write --address http://HEAD:8265, Ray's dashboard")
        if "@" in place.netloc:
            raise UsageError("--address holds a login, which would be printed and kept; put it into ~/.netrc")
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

        class Bounded(JobSubmissionClient):  # type: ignore[misc]
            """Ray's client waits without end for an answer; every request of it goes through this method."""

            def _do_request(self, method: str, endpoint: str, **more: Any) -> Any:
                bound = ANSWER_SECONDS if method == "GET" else SEND_SECONDS
                return super()._do_request(method, endpoint, **{"timeout": bound, **more})

        for name in TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        self._knock()
        with _without(ADDRESS_VARIABLES), self._refusals():
            client = Bounded(self.address, headers=self._headers() or None)
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
        client = self.client
        while True:
            try:
                with self._refusals():
                    return str(
                        client.submit_job(entrypoint=command, runtime_env=environment, metadata=metadata, submission_id=name)
                    )
            except UnansweredError as error:
                if "No available agent" not in str(error):
                    raise UnansweredError(f"{error}; `shoal status` tells whether it has job {name} all the same") from error
                if time.monotonic() > until:
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
            raise UnansweredError(f"{self.address} does not answer ({_brief(error)})") from error
        except RuntimeError as error:
            raise refusal(self.address, str(error)) from error

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
    """The job server has no answer now: it is silent, or in trouble itself. Another time it may have one."""


class GoneError(ClusterError):
    """The cluster knows no such job."""


def refusal(address: str, said: str) -> ClusterError:
    """Return the error for what Ray's client says of an answer: by its HTTP status it is final, or may pass."""
    found = STATUS.match(said)
    code = int(found[1]) if found else 0
    why = _brief(said[found.end() :] if found else said) or f"HTTP status {code}"
    if code in PASSING or code >= SERVER_ERROR:
        return UnansweredError(f"the cluster at {address} is in trouble: {why}")
    kind = GoneError if code == NOT_FOUND and "does not exist" in why else ClusterError
    return kind(f"the cluster at {address} refuses: {why}")


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


def _brief(said: object) -> str:
    """Return the line that tells most of an error, without the traceback or the page that a server sent along."""
    lines = [line.strip() for line in str(said).splitlines() if line.strip(" .")]
    if not lines or lines[0].startswith("<"):
        return type(said).__name__ if isinstance(said, BaseException) else ""
    return (lines[-1] if lines[0].startswith("Traceback") else lines[0])[:300].rstrip(".")


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _parts(url: str) -> SplitResult | None:
    """Return the parts of an address; None where it has none, such as one with letters for a port."""
    try:
        parts = urlsplit(url)
        return parts if parts.port is None or parts.port else None
    except ValueError:
        return None
