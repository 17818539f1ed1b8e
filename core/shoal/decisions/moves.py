"""What people decided about a run's images, remembered with the run: so far, rescues accepted when files were organised.

Decisions are only ever added: the last one about an image counts, the earlier ones stay to be read. Whoever takes a decision
(an option of a command, a review) says so in `by`.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shoal.errors import StoreError
from shoal.text import terminal

DECISIONS = "decisions.json"


class Move(BaseModel):
    """An image that somebody put into another cluster.

    Attributes:
        id, path: of the image.
        before, after: its cluster before and after; -1 is noise. `from` and `to` in JSON.
        label: of the cluster that it went to; empty where that has none.
        by: what was done to decide it.
        at: when, ISO 8601 in UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    id: str
    path: str
    before: int = Field(alias="from")
    after: int = Field(alias="to")
    label: str = ""
    by: str
    at: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def line(self) -> str:
        """Return the decision as a line of a log."""
        label = f" ({self.label})" if self.label else ""
        return terminal(
            f"{self.at} moved {self.path} from {_cluster(self.before)} to {_cluster(self.after)}{label}: {self.by}"
        )


def _cluster(number: int) -> str:
    return "noise" if number < 0 else f"cluster {number}"


_MOVES = TypeAdapter(list[Move])


class Readable(Protocol):
    """A run's folder, to read from."""

    def exists(self, name: str) -> bool:
        """Tell whether there is a file of that name."""

    def read(self, name: str) -> bytes:
        """Return its bytes."""


class Writable(Readable, Protocol):
    """A run's folder."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all."""


def decided(folder: Readable) -> list[Move]:
    """Return every decision about a run, the oldest first.

    Raises:
        StoreError: the file that holds them is damaged.
    """
    if not folder.exists(DECISIONS):
        return []
    try:
        return _MOVES.validate_json(folder.read(DECISIONS))
    except ValidationError as error:
        raise StoreError(
            f"{DECISIONS} of the run is damaged or of another shoal; put a good copy there, or remove it"
        ) from error


def confirmed(moves: Iterable[Move]) -> list[Move]:
    """Return the decisions that count, by id: of those about one image the last."""
    last = {move.id: move for move in moves}
    return [last[key] for key in sorted(last)]


def decide(folder: Writable, moves: Sequence[Move]) -> int:
    """Add decisions to a run and return how many were news: what counts already is not written down twice."""
    known = decided(folder)
    counting = {move.id: move.after for move in known}
    new = [move for move in moves if counting.get(move.id) != move.after]
    if new:
        values = [move.model_dump(by_alias=True) for move in (*known, *new)]
        folder.write(
            DECISIONS, ("[\n" + ",\n".join(json.dumps(value, ensure_ascii=False) for value in values) + "\n]\n").encode()
        )
    return len(new)
