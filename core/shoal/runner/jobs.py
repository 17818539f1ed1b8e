"""Work that travels to a worker: plain frozen values that pickle, and the worker that each makes where it lands."""

import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from shoal import errors

Worker = Callable[[pa.Table], pa.Table]
"""Takes a chunk of rows, keeps what it makes in the store, and returns a small receipt."""


class Job(Protocol):
    """Something that makes a worker; sent once to every process that takes part."""

    def worker(self) -> Worker:
        """Return the worker, its stages set up."""

    def split(self, chunk: pa.Table, parts: int) -> list[pa.Table]:
        """Return a chunk cut into at most so many smaller ones; none where it can't be cut."""

    def reject(self, chunk: pa.Table, reason: str, lasting: bool) -> pa.Table:
        """Return the receipt of a chunk that can't be cut and that no worker survives.

        Args:
            chunk: of one row.
            reason: why it has no answer.
            lasting: whether to keep the reason, so that the same run does not lose workers to it again.
        """


def pieces(chunk: pa.Table, parts: int) -> list[pa.Table]:
    """Return a chunk's rows in at most so many pieces of like size; none where there is one row only."""
    size = -(-chunk.num_rows // parts)
    if chunk.num_rows < 2:
        return []
    return [chunk.slice(start, size).combine_chunks() for start in range(0, chunk.num_rows, size)]


def noting(notes: dict[str, Any]) -> Callable[[str, Any], None]:
    """Return a `Context.note` that keeps facts as JSON values: numpy's numbers as numbers, anything else as text."""

    def note(key: str, value: Any) -> None:
        plain = value.item() if hasattr(value, "item") and getattr(value, "size", 0) == 1 else value
        try:
            notes[key] = json.loads(json.dumps(plain))
        except (TypeError, ValueError):
            notes[key] = str(plain)

    return note


def clean(text: str) -> str:
    """Return text that can be stored as UTF-8: what can't (half a surrogate pair) is written out."""
    return text.encode("utf-8", "backslashreplace").decode()


RECEIPT = pa.schema(
    [
        pa.field("task", pa.int32()),  # which of the job's stages
        pa.field("rows", pa.int64()),  # of the chunk, that this stage was asked for
        pa.field("computed", pa.int64()),
        pa.field("failed", pa.int64()),  # whether their reasons are kept or not
        pa.field("crashed", pa.bool_()),  # whether no worker survived the chunk
        pa.field("seconds", pa.float64()),  # in the stage itself
        pa.field("reading", pa.float64()),  # seconds in reading and decoding, said once a chunk (task 0)
        pa.field("notes", pa.string()),  # JSON of what the stage noted
        pa.field("failures", pa.string()),  # JSON {id or path: reason} of failures that are not kept: they may pass
    ]
)


@dataclass(frozen=True)
class Trouble:
    """An error that ends the run, on its way from a worker to the driver.

    Attributes:
        kind: name of its class in `shoal.errors`, or of any other class.
        message: one sentence.
        step: where it is known.
        trace: the worker's traceback, shown with --debug.
    """

    kind: str
    message: str
    step: str
    trace: str

    @classmethod
    def of(cls, error: Exception) -> "Trouble":
        """Return the trouble that an exception is."""
        return cls(type(error).__name__, str(error), getattr(error, "step", ""), "".join(traceback.format_exception(error)))

    def error(self) -> Exception:
        """Return it as an exception again; one that is not shoal's own becomes a StageError that names it."""
        known = getattr(errors, self.kind, None)
        error = known(self.message) if known else errors.StageError(f"{self.kind}: {self.message}")
        if isinstance(error, errors.StageError):
            error.step = self.step
        error.add_note(self.trace)
        return error
