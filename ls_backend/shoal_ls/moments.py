"""Times of Label Studio, and what they tell: whether a reviewer saw a task before it got other numbers of clusters."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from shoal.decisions import now

LOADING_SECONDS = 30.0
"""How long changing a task and loading it may take: who loaded it that soon after a change may have got the old one."""

EDITED_SECONDS = 1.0
"""Label Studio writes the times of an annotation microseconds apart; one that was edited by a person is changed later."""

LONGEST = 1e9
"""Seconds that a task may have been open, 31 years: what is hostile is cut to it."""


def moment(value: object) -> str:
    """Return a time of Label Studio as ISO 8601 in UTC with milliseconds (`Answer.at`); empty where it is none."""
    if not isinstance(value, str):
        return ""
    try:
        return _written(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        return ""


def server_time(date: str | None) -> str:
    """Return the time of an HTTP `Date` header as `moment` does; by this machine's clock where there is none."""
    try:
        return _written(parsedate_to_datetime(date or ""))
    except (ValueError, OverflowError, TypeError):
        return now()


def loaded_before(changed: str, annotation: Mapping[Any, Any]) -> bool:
    """Tell whether who submitted an annotation may have seen its task as it was before a change.

    The browser says how long the task was open (`lead_time`), the server when a draft was begun. What is edited after it
    was submitted was loaded again. A program says neither; it has read what it answers.

    Args:
        changed: when, as `moment` writes it; empty: never.
        annotation: as the API gives it; of any shape.
    """
    begun = _begun(annotation)
    since = _seconds(changed)
    return begun is not None and since is not None and begun < since + LOADING_SECONDS


def _begun(annotation: Mapping[Any, Any]) -> float | None:
    """Return when what was submitted was loaded, or its draft begun, in seconds; None where nobody says it."""
    made, last = _seconds(annotation.get("created_at")), _seconds(annotation.get("updated_at"))
    took, draft = _length(annotation.get("lead_time")), _seconds(annotation.get("draft_created_at"))
    if made is None:
        return None
    if took is not None and last is not None and last - made > EDITED_SECONDS:
        return max(made, last - took)
    told = [*([made - took] if took is not None else []), *([draft] if draft is not None else [])]
    return min(told, default=None)


def _length(value: object) -> float | None:
    """Return a number of seconds; None where it is none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(max(0, min(value, LONGEST)))  # so that what is no number counts as none


def _seconds(value: object) -> float | None:
    text = moment(value)
    return datetime.fromisoformat(text).timestamp() if text else None


def _written(time: datetime) -> str:
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
