"""Starts Ray on this machine or joins a cluster, keeps it quiet, and turns what it raises into one sentence."""

import builtins
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shoal.errors import RunFailed, UsageError

CONNECT_SECONDS = 5.0

ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a worker without a GPU keeps CUDA_VISIBLE_DEVICES as it is
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # Ray's C++ side tells on every start what may happen to actors that are restarted
    "RAY_TQDM_PATCH_PRINT": "0",  # see _give_back_print
}


def start(address: str) -> tuple[Any, bool]:
    """Return Ray, started or joined, and whether it is ours to stop.

    Args:
        address: of a cluster; `local` starts one on this machine.

    Raises:
        UsageError: it can't be reached.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    ours = not ray.is_initialized()
    if ours:
        _check_reachable(address)
        try:
            with _quiet_stderr():
                ray.init(address=address, include_dashboard=False if address == "local" else None, log_to_driver=False,
                         logging_level="ERROR")  # fmt: skip
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(f"Ray at {address!r} can't be reached ({_first_line(error)}); is the cluster up?") from error
    _quieten()
    _give_back_print()
    return ray, ours


def _check_reachable(address: str) -> None:
    """Try `host:port` for a few seconds first: Ray itself tries for minutes and says nothing.

    Raises:
        UsageError: nobody answers there.
    """
    place = re.fullmatch(r"(?:ray://)?([^/:]+):(\d+)", address)
    if place is None:
        return
    try:
        socket.create_connection((place[1], int(place[2])), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise UsageError(f"Ray at {address!r} can't be reached ({error.strerror or error}); is the cluster up?") from error


@contextmanager
def ray_errors() -> Iterator[None]:
    """Turn what Ray raises (workers that died, nodes lost) into one sentence."""
    from ray.exceptions import RayError

    try:
        yield
    except RayError as error:
        raise gave_up(error) from error


def gave_up(error: BaseException) -> RunFailed:
    """Return one sentence for an error of Ray that ends the run."""
    cause = cause_of(error)
    missing = re.search(r"No module named '([^']+)'", cause)
    mend = f"install the package that has {missing[1]} on the workers" if missing else "the same command goes on"
    return RunFailed(f"Ray gave up: {cause}; {mend}; what was computed is kept")


def cause_of(error: BaseException) -> str:
    """Return the last line of Ray's report that names an exception: the innermost cause, without colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    named = [line.strip() for line in text.splitlines() if re.match(r"\s*[\w.]*(Error|Exception)\b", line)]
    return (named or [line for line in text.splitlines() if line.strip()] or [type(error).__name__])[-1]


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep off the screen what Ray's C++ side says of the log level that it was given."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _give_back_print() -> None:
    """Undo that Ray replaces `print` by a function of its own in a program that showed a worker's line before.

    Numba can't compile what prints by it, so UMAP fails in that process unless somebody compiled it there before.
    """
    from ray.experimental import tqdm_ray

    if builtins.print is tqdm_ray.safe_print:
        builtins.print = tqdm_ray._print


def _quieten() -> None:
    """Keep Ray's own reports of dead workers off the screen: the run's record counts them."""
    import logging

    logging.getLogger("ray").setLevel(logging.ERROR)
