"""Where work runs: in this process, or as actors on Ray. Both run the same jobs on the same chunks."""

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any

import pyarrow as pa

from shoal.runner import cluster
from shoal.runner.answering import TableJob
from shoal.runner.bodies import answer
from shoal.runner.crew import Crew
from shoal.runner.happened import Happened
from shoal.runner.jobs import Job, Trouble
from shoal.runner.options import RunOptions
from shoal.runner.placement import Placement, Shape, alive, gpus_of, shape
from shoal.runner.tabling import Placed, Tables
from shoal.runner.waiting import Patience

WORTH_RAY = 2.0
"""Estimated seconds of work in one process from which a start of Ray (5 to 7 s, then two or more workers) pays on small
machines too: below it the same chunks run here."""

NVIDIA = Path("/dev/nvidiactl")
"""What NVIDIA's driver makes on a machine that has its GPUs."""


class Executor:
    """Runs passes and tables; starts Ray at the first piece of work that is worth it.

    Args:
        options: `where`, `address` and `wait` decide.
        say: shows a sentence to who waits.
    """

    def __init__(self, options: RunOptions, say: Callable[[str], None] = lambda message: None) -> None:
        """Decide nothing yet: a run that finds all its rows kept needs no cluster."""
        self.options, self.say = options, say
        self.start_seconds = 0.0
        self._ray: Any = None
        self._ours = False

    def map(
        self, job: Job, chunks: Iterable[pa.Table], placement: Placement, rows: int, told: Happened
    ) -> Generator[pa.Table, None, None]:
        """Yield the receipts of a job's chunks, in any order. Close it where you stop early: its workers end then.

        Args:
            job: what is done with each chunk.
            chunks: taken as workers get free, so they may be made one after the other.
            placement: what each worker is given.
            rows: of all chunks together, to weigh whether Ray pays.
            told: is told where it ran and what befell it.

        Raises:
            UsageError: no node of the cluster can hold such a worker.
            RunFailed: workers can't be kept alive, or there was no room for one within `wait`.
        """
        if self.prepare(rows, placement):
            yield from Crew(self._ray, job, placement, rows, told, self.say, self._patience).run(chunks)
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

    def size(self, placement: Placement) -> Shape:
        """Return how many workers fit the cluster, and how large each is.

        Raises:
            UsageError: none fits.
        """
        return shape(alive(self._start().nodes()), placement)

    @property
    def on_ray(self) -> bool:
        """Whether Ray was started or joined."""
        return self._ray is not None

    @property
    def _patience(self) -> Patience:
        return Patience(limit=self.options.wait)

    def answer(self, jobs: Sequence[tuple[TableJob, Placement]]) -> Generator[tuple[int, dict[str, Any]], None, None]:
        """Yield (number of the job, its facts) as table jobs end; on Ray they run side by side.

        Raises:
            UsageError: a job asks for more than the cluster has.
        """
        with closing(self.outcomes(jobs)) as outcomes:
            for number, outcome in outcomes:
                if isinstance(outcome, Trouble):
                    raise outcome.error()
                yield number, outcome

    def outcomes(
        self, jobs: Sequence[tuple[TableJob, Placement]], seconds: float = 0.0
    ) -> Generator[tuple[int, dict[str, Any] | Trouble], None, None]:
        """Yield (number of the job, its facts or what it failed of) as table jobs end: one that fails ends no other.

        Args:
            jobs: side by side on Ray, else one after the other.
            seconds: estimate of the work in one process, to weigh whether Ray pays.

        Raises:
            UsageError: a job asks for more than the cluster has.
        """
        if not self._takes_ray(seconds):
            for number, (job, _) in enumerate(jobs):
                yield number, answer(job)
            return
        self._start()
        todo = []
        for job, place in jobs:
            size = self.size(place)
            todo.append(Placed(job, size.cpus, size.gpus if job.gpu else 0.0))
        yield from Tables(self._ray, todo, self.say, self._patience).outcomes()

    def has_gpu(self, placement: Placement) -> bool:
        """Tell whether Ray gives a worker its GPUs. Ray is not started for the question where this machine has none."""
        if not placement.gpus or self.options.where == "local":
            return False
        if not (self._takes_ray(0.0) or NVIDIA.exists()):
            return False
        return gpus_of(alive(self._start().nodes()), placement) > 0

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
        self._ray, self._ours = cluster.start(self.options.address or os.environ.get("RAY_ADDRESS") or "local")
        self.start_seconds = perf_counter() - began
        return self._ray
