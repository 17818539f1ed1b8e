"""Where work runs: in this process, or as Ray Data and Ray tasks. Both run the same jobs on the same chunks."""

import os
import re
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import pyarrow as pa

from shoal.errors import RunFailed, UsageError
from shoal.runner.answering import TableJob
from shoal.runner.jobs import Job, Trouble
from shoal.runner.options import RunOptions

WORTH_RAY = 2.0
"""Estimated seconds of work in one process from which a start of Ray (5 to 7 s, then two or more workers) pays on small
machines too: below it the same chunks run here."""


CONNECT_SECONDS = 5.0

NVIDIA = Path("/dev/nvidiactl")
"""What NVIDIA's driver makes on a machine that has its GPUs."""

ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a worker without a GPU keeps CUDA_VISIBLE_DEVICES as it is
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # Ray's C++ side tells on every start what may happen to actors that are restarted
}


@dataclass(frozen=True)
class Placement:
    """What each worker of a pass is given.

    Attributes:
        actors: how many workers; 0 takes as many as the cluster's CPUs (or GPUs) allow.
        cpus, gpus: of one worker.
        seconds_a_row: estimate of the work a row in one process, to weigh whether Ray pays.
    """

    actors: int = 0
    cpus: float = 1.0
    gpus: float = 0.0
    seconds_a_row: float = 0.01


class Executor:
    """Runs passes and tables; starts Ray at the first piece of work that is worth it.

    Args:
        options: `where` and `address` decide.
    """

    def __init__(self, options: RunOptions) -> None:
        """Decide nothing yet: a run that finds all its rows kept needs no cluster."""
        self.options = options
        self.start_seconds = 0.0
        self._ray: Any = None
        self._ours = False

    def map(self, job: Job, chunks: Iterable[pa.Table], placement: Placement, rows: int) -> Iterator[pa.Table]:
        """Yield the receipts of a job's chunks, in any order.

        Args:
            job: what is done with each chunk.
            chunks: taken as workers get free, so they may be made one after the other.
            placement: what each worker is given.
            rows: of all chunks together, to weigh whether Ray pays.
        """
        if self.prepare(rows, placement):
            yield from self._map_on_ray(job, chunks, placement)
            return
        worker = job.worker()
        for chunk in chunks:
            yield worker(chunk)

    def prepare(self, rows: int, placement: Placement) -> bool:
        """Start Ray if so many rows are worth it, and tell whether they run on it."""
        if not self._takes_ray(rows * placement.seconds_a_row):
            return False
        self._start()
        return True

    def describe(self, placement: Placement) -> str:
        """Return in a few words where a pass that was just run ran."""
        if self._ray is None:
            return "in process"
        actors, gpus = self._size(placement)
        return f"ray: {actors} x {placement.cpus:g} cpu" + (f" + {gpus:g} gpu" if gpus else "")

    @property
    def on_ray(self) -> bool:
        """Whether Ray was started or joined."""
        return self._ray is not None

    def answer(self, jobs: Sequence[tuple[TableJob, Placement]]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (number of the job, its facts) as table jobs end; on Ray they run side by side.

        Raises:
            UsageError: a job asks for more than the cluster has.
        """
        for number, outcome in self.outcomes(jobs):
            if isinstance(outcome, Trouble):
                raise outcome.error()
            yield number, outcome

    def outcomes(
        self, jobs: Sequence[tuple[TableJob, Placement]], seconds: float = 0.0
    ) -> "Iterator[tuple[int, dict[str, Any] | Trouble]]":
        """Yield (number of the job, its facts or what it failed of) as table jobs end: one that fails ends no other.

        Args:
            jobs: side by side on Ray, else one after the other.
            seconds: estimate of the work in one process, to weigh whether Ray pays.

        Raises:
            UsageError: a job asks for more than the cluster has.
        """
        if not self._takes_ray(seconds):
            for number, (job, _) in enumerate(jobs):
                yield number, _answer(job)
            return
        ray = self._start()
        threads = str(os.cpu_count() or 1)
        remote = ray.remote(_answer)
        shared = {"max_retries": 2, "runtime_env": {"env_vars": {"OMP_NUM_THREADS": threads}}}
        waiting: dict[Any, int] = {}
        for number, (job, place) in enumerate(jobs):
            _, gpus = self._size(place)
            waiting[remote.options(num_cpus=place.cpus, num_gpus=gpus if job.gpu else 0, **shared).remote(job)] = number
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1)
            for reference in ready:
                yield waiting.pop(reference), _received(ray, reference)

    def has_gpu(self, placement: Placement) -> bool:
        """Tell whether Ray gives a worker its GPUs. Ray is not started for the question where this machine has none."""
        if not placement.gpus or self.options.where == "local":
            return False
        if not (self._takes_ray(0.0) or NVIDIA.exists()):
            return False
        return bool(self._start().cluster_resources().get("GPU", 0.0) >= placement.gpus)

    def close(self) -> None:
        """Stop the Ray that this executor started; a cluster that was joined stays."""
        if self._ray is not None and self._ours:
            self._ray.shutdown()
        self._ray = None

    def _takes_ray(self, seconds: float) -> bool:
        if self.options.where != "auto":
            return self.options.where == "ray"
        named = self.options.address or os.environ.get("RAY_ADDRESS")
        return self._ray is not None or bool(named) or seconds > WORTH_RAY

    def _start(self) -> Any:
        if self._ray is not None:
            return self._ray
        began = perf_counter()
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        import ray

        if not ray.is_initialized():
            address = self.options.address or os.environ.get("RAY_ADDRESS") or "local"
            _check_reachable(address)
            try:
                with _quiet_stderr():
                    ray.init(address=address, include_dashboard=False if address == "local" else None, log_to_driver=False,
                             logging_level="ERROR")  # fmt: skip
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise UsageError(
                    f"Ray at {address!r} can't be reached ({_first_line(error)}); is the cluster up?"
                ) from error
            self._ours = True
        _quieten()
        self._ray = ray
        self.start_seconds = perf_counter() - began
        return ray

    def _size(self, placement: Placement) -> tuple[int, float]:
        """Return (workers, GPUs of each) that fit the cluster.

        Raises:
            UsageError: the cluster can never hold one such worker; Ray would wait for ever.
        """
        have = self._start().cluster_resources()
        cpus, gpus = have.get("CPU", 0.0), have.get("GPU", 0.0)
        each_gpu = placement.gpus if gpus >= placement.gpus else 0.0
        fit = int(cpus // placement.cpus) if placement.cpus else 10**6
        if each_gpu:
            fit = min(fit, int(gpus // each_gpu))
        if fit < 1 or placement.actors > fit:
            raise UsageError(
                f"{max(placement.actors, 1)} workers of {placement.cpus:g} CPUs and {placement.gpus:g} GPUs do not fit "
                f"the cluster's {cpus:g} CPUs and {gpus:g} GPUs; ask for less under the step's `run:`"
            )
        return placement.actors or fit, each_gpu

    def _map_on_ray(self, job: Job, every: Iterable[pa.Table], placement: Placement) -> Iterator[pa.Table]:
        from ray import data

        actors, gpus = self._size(placement)
        chunks = list(every)
        actors = min(actors, len(chunks))
        dataset = data.from_arrow(chunks).map_batches(
            _Actor,
            fn_constructor_args=(job,),
            # A chunk is a block and a call. Ray wants a number where there are GPUs, and may join the small ones at the end.
            batch_size=max(chunk.num_rows for chunk in chunks) if gpus else None,
            batch_format="pyarrow",
            zero_copy_batch=True,
            # One chunk at work and one that waits: a longer queue leaves the last chunks with one worker.
            compute=data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=2),
            num_cpus=placement.cpus,
            num_gpus=gpus,
        )
        with _ray_errors():
            for receipt in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                Trouble.check(receipt)
                yield receipt


class _Actor:
    """What Ray Data calls: the job's worker, made once an actor.

    An error that ends the run travels as a receipt: raised here, Ray would wrap it in its own and repeat the work.
    """

    def __init__(self, job: Job) -> None:
        self.trouble: Trouble | None = None
        try:
            self.worker = job.worker()
        except Exception as error:  # a plugin's setup may raise anything
            self.trouble = Trouble.of(error)

    def __call__(self, chunk: pa.Table) -> pa.Table:
        if self.trouble is None:
            try:
                return self.worker(chunk)
            except Exception as error:  # what one row raises is caught lower down; this ends the run
                self.trouble = Trouble.of(error)
        return self.trouble.receipt()


def _answer(job: TableJob) -> "dict[str, Any] | Trouble":
    try:
        return job.run()
    except Exception as error:  # as above
        return Trouble.of(error)


def _received(ray: Any, reference: Any) -> "dict[str, Any] | Trouble":
    """Return what a job on Ray came to; one whose worker died (of memory, most likely) has failed."""
    try:
        with _ray_errors():
            outcome: dict[str, Any] | Trouble = ray.get(reference)
    except RunFailed as error:
        return Trouble.of(error)
    return outcome


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
def _ray_errors() -> Iterator[None]:
    """Turn what Ray raises (workers that died, nodes lost) into one sentence."""
    from ray.exceptions import RayError

    try:
        yield
    except RayError as error:
        cause = _cause(error)
        missing = re.search(r"No module named '([^']+)'", cause)
        mend = f"install the package that has {missing[1]} on the workers" if missing else "the same command goes on"
        raise RunFailed(f"Ray gave up: {cause}; {mend}; what was computed is kept") from error


def _cause(error: BaseException) -> str:
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


def _quieten() -> None:
    """Keep Ray Data's own bars and plans off the screen: shoal draws one progress for all steps."""
    import logging

    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray.data", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
