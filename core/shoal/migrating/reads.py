"""Values as people write them in configuration files; each function raises ValueError with what the value must be."""

import re
from collections.abc import Callable
from typing import Any

from shoal.migrating.table import squash
from shoal.pipeline.messages import show

_NONE = ("", "none", "null", "no", "nolimit", "auto")
_TRUE = ("true", "on", "yes", "y", "1", "enabled")
_FALSE = ("false", "off", "no", "n", "0", "disabled")


def whole(value: Any) -> int:
    """Return a whole number."""
    made = _float(value)
    if made is None or made != int(made):
        raise ValueError(f"must be a whole number, not {show(value)}")
    return int(made)


def side(value: Any) -> int:
    """Return the side of a square grid: `8`, `8x8` or `[8, 8]`."""
    parts = value.lower().split("x") if isinstance(value, str) else value
    sides = {whole(part) for part in parts} if isinstance(parts, list) else {whole(parts)}
    if len(sides) != 1:
        raise ValueError(f"must be as many tiles across as down, not {show(value)}")
    return sides.pop()


def number(value: Any) -> float | int:
    """Return a number."""
    made = _float(value)
    if made is None:
        raise ValueError(f"must be a number, not {show(value)}")
    return int(made) if made == int(made) and not isinstance(value, float) else made


def _float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        made = float(value)
    except (ValueError, OverflowError):
        return None
    return made if abs(made) < 1e15 else None


def share(value: Any) -> float:
    """Return a share from 0 to 1: `20`, `20 %` and `0.2` are one; from 1 on a number is one of hundredths."""
    text = value.replace("%", "").strip() if isinstance(value, str) else value
    made = _float(text)
    if made is None or not 0 <= made <= 100:
        raise ValueError(f"must be a share such as 20 (percent) or 0.2, not {show(value)}")
    hundredths = made >= 1 or (isinstance(value, str) and "%" in value)
    return round(made / 100, 6) if hundredths else made


def boolean(value: Any) -> bool:
    """Return true or false, from any of the words that YAML has had for them."""
    said = squash(str(value)) if isinstance(value, str | int) else ""
    if said in _TRUE or said in _FALSE:
        return said in _TRUE
    raise ValueError(f"must be on or off, not {show(value)}")


def text(value: Any) -> str:
    """Return a text; numbers are texts too, as in a folder called 2024."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise ValueError(f"must be text, not {show(value)}")
    return str(value)


def words(value: Any) -> list[str]:
    """Return a list of texts, also from one text with commas; nothing is an empty list."""
    parts = value.split(",") if isinstance(value, str) else [] if value is None else value
    if not isinstance(parts, list) or not all(isinstance(part, str | int) and not isinstance(part, bool) for part in parts):
        raise ValueError(f"must be a list, or names with commas between them, not {show(value)}")
    return [str(part).strip() for part in parts if str(part).strip()]


def secret(value: Any) -> str:
    """Return the name of the environment variable that a value points to (`${NAME}`), and nothing of any other value."""
    found = re.fullmatch(r"\s*(?:\$\{?|env:|oc\.env:)\s*(?:oc\.env:)?([A-Za-z_][A-Za-z0-9_]{0,99})\}?\s*", str(value))
    return found[1] if found else ""


def span(value: Any) -> tuple[int, int]:
    """Return the two numbers of `5-10`, `5 to 10`, `[5, 10]` or `{min: 5, max: 10}`."""
    parts: Any = value
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\d{1,6})\s*(?:-|to|\.\.|,|–)\s*(\d{1,6})\s*(?:words)?\s*", value)  # noqa: RUF001
        parts = list(found.groups()) if found else value
    elif isinstance(value, dict):
        low = {squash(key).removesuffix("words"): part for key, part in value.items()}
        parts = [low.get("min"), low.get("max")] if set(low) == {"min", "max"} else value
    if not isinstance(parts, list) or len(parts) != 2:
        raise ValueError(f"must be two numbers such as 5-10, not {show(value)}")
    first, last = (whole(part) for part in parts)
    if first > last:
        raise ValueError(f"must begin with the smaller number, not {show(value)}")
    return first, last


def choice(*names: str, **also: str) -> Callable[[Any], str]:
    """Return a reader that takes one of some names in any spelling, and other names for them."""
    known = {squash(name): name for name in names} | {squash(name): meant for name, meant in also.items()}

    def read(value: Any) -> str:
        said = squash(str(value)) if isinstance(value, str | int | float) else ""
        if said not in known:
            raise ValueError(f"must be {' or '.join(names)}, not {show(value)}")
        return known[said]

    return read


def or_none(reads: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a reader that also takes nothing (`null`, `none`, `auto`, an empty text)."""

    def read(value: Any) -> Any:
        return None if value is None or (isinstance(value, str) and squash(value) in _NONE) else reads(value)

    return read
