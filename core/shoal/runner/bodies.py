"""The actors that do the work on a cluster. They die of nothing that a stage raises: errors travel as values."""

from typing import Any

import pyarrow as pa

from shoal.runner.answering import TableJob
from shoal.runner.jobs import Job, Trouble, Worker


class _Body:
    """An actor that tells where it was placed before it does anything that takes long."""

    def where(self) -> str:
        """Return the id of its node."""
        import ray

        return str(ray.get_runtime_context().get_node_id())


class Mapper(_Body):
    """Maps chunks with a job's worker, which it makes once."""

    def __init__(self, job: Job) -> None:
        """Take the job; its stages are set up by a call of their own, so that a crash there blames no chunk."""
        self._job = job
        self._worker: Worker | None = None

    def setup(self) -> Trouble | None:
        """Set the stages up; return what went wrong."""
        try:
            self._worker = self._job.worker()
        except Exception as error:  # a plugin's setup may raise anything
            return Trouble.of(error)
        return None

    def work(self, chunk: pa.Table) -> pa.Table | Trouble:
        """Return a chunk's receipt, or what went wrong."""
        if self._worker is None:
            raise RuntimeError("setup comes first")
        try:
            return self._worker(chunk)
        except Exception as error:  # what one row raises is caught lower down
            return Trouble.of(error)


class Answerer(_Body):
    """Answers table jobs, one after the other."""

    def answer(self, job: TableJob) -> dict[str, Any] | Trouble:
        """Return the job's facts, or what went wrong."""
        return answer(job)


def answer(job: TableJob) -> dict[str, Any] | Trouble:
    """Return a table job's facts, or what went wrong."""
    try:
        return job.run()
    except Exception as error:  # a plugin may raise anything
        return Trouble.of(error)
