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
        pa.field("seconds", pa.float64()),  # in the stage itself
        pa.field("reading", pa.float64()),  # seconds in reading and decoding, said once a chunk (task 0)
        pa.field("notes", pa.string()),  # JSON of what the stage noted
        pa.field("failures", pa.string()),  # JSON {id or path: reason} of failures that are not kept: they may pass
        pa.field("trouble", pa.string()),  # JSON of a `Trouble`, where the job can't go on
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

    def receipt(self) -> pa.Table:
        """Return a receipt that carries it."""
        return pa.Table.from_pylist([{"task": 0, "rows": 0, "trouble": json.dumps(self.__dict__)}], RECEIPT)

    def error(self) -> Exception:
        """Return it as an exception again; one that is not shoal's own becomes a StageError that names it."""
        known = getattr(errors, self.kind, None)
        error = known(self.message) if known else errors.StageError(f"{self.kind}: {self.message}")
        if isinstance(error, errors.StageError):
            error.step = self.step
        error.add_note(self.trace)
        return error

    @classmethod
    def check(cls, receipt: pa.Table) -> None:
        """Raise what a receipt carries, if it carries any."""
        for text in receipt["trouble"].to_pylist():
            if text:
                raise cls(**json.loads(text)).error()
