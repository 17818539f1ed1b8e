"""Reads what runs of shoal 0.1 remembered in `decisions.json`: rescues that were accepted when files were organised."""

from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shoal.decisions.model import COMPUTED, Answer, Change
from shoal.errors import StoreError

DECISIONS = "decisions.json"


class Readable(Protocol):
    """A run's folder, to read from."""

    def exists(self, name: str) -> bool:
        """Tell whether there is a file of that name."""

    def read(self, name: str) -> bytes:
        """Return its bytes."""


class _Move(BaseModel):
    """An image that was put into another cluster."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    to: int = Field(ge=0)
    by: str
    at: str


_MOVES = TypeAdapter(list[_Move])


def older(folder: Readable, run: str) -> list[Answer]:
    """Return the accepted rescues of an older run as answers, the oldest first; none where it has no such file.

    Raises:
        StoreError: the file that holds them is damaged.
    """
    if not folder.exists(DECISIONS):
        return []
    try:
        moves = _MOVES.validate_json(folder.read(DECISIONS))
    except ValidationError as error:
        raise StoreError(
            f"{DECISIONS} of the run is damaged or of another shoal; put a good copy there, or remove it"
        ) from error
    return [accepted(run, move.id, move.to, _milliseconds(move.at), note=move.by) for move in moves]


def accepted(run: str, image: str, to: int, at: str, who: str = "", note: str = "", base: str = COMPUTED) -> Answer:
    """Return the answer that a suggested cluster was accepted for a noise image by an option of a command.

    Args:
        run: name of the run.
        image: its id.
        to: the cluster, as `base` numbers it.
        at: when.
        who: the person.
        note: what is written beside it.
        base: name of the base.
    """
    change = Change(kind="confirm", images=(image,), to=to)
    return Answer(
        run=run,
        surface=commands(run),
        key=image,
        at=at,
        task=f"rescue:{image}",
        who=who,
        changes=(change,),
        note=note,
        base=base,
    )


def commands(run: str) -> str:
    """Return the key of the surface of a run that is options of commands."""
    return f"command-{run}"


def _milliseconds(at: str) -> str:
    """Return a time as answers write it; older ones are in UTC without a fraction."""
    return at.replace("+00:00", ".000Z") if len(at) == len("2026-01-01T00:00:00+00:00") else at
