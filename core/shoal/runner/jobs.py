"""Work that travels to a worker: plain frozen values that pickle, and the worker that each makes where it lands."""

from collections.abc import Callable
from typing import Protocol

import pyarrow as pa

Worker = Callable[[pa.Table], pa.Table]
"""Takes a chunk of rows, keeps what it makes in the store, and returns a small receipt."""


class Job(Protocol):
    """Something that makes a worker; sent once to every process that takes part."""

    def worker(self) -> Worker:
        """Return the worker, its stages set up."""


RECEIPT = pa.schema(
    [
        pa.field("task", pa.int32()),  # which of the job's stages
        pa.field("rows", pa.int64()),  # of the chunk, that this stage was asked for
        pa.field("computed", pa.int64()),
        pa.field("seconds", pa.float64()),  # in the stage itself
        pa.field("reading", pa.float64()),  # seconds in reading and decoding, said once a chunk (task 0)
        pa.field("notes", pa.string()),  # JSON of what the stage noted
        pa.field("failures", pa.string()),  # JSON {id or path: reason} of failures that are not kept: they may pass
    ]
)
