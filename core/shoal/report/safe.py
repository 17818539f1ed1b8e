"""Hostile text (captions, labels, file names) made harmless for HTML and for scripts."""

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

# Control characters, and the marks that turn the reading order round (Unicode TR 36, "bidirectional text spoofing").
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
_SCRIPT_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029", "/": "\\/"}
_SCRIPT_UNSAFE = re.compile("[<>&/\u2028\u2029]")


def shown(text: str) -> str:
    r"""Return `text` with control characters and bidi marks written out, so that `photo<RLO>gpj.exe` can't pose as a JPEG.

    U+202E becomes the six characters `\u202e`; letters of right-to-left scripts and emoji stay as they are.
    """
    return _STEERING.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def json_literal(value: Any) -> str:
    """Return `value` as JSON that may stand in a script.

    `< > & /` and the two line separators of JavaScript are escaped, so no text ends the script element, and no text that
    begins with `files/` is taken for the name of a report's file.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _SCRIPT_UNSAFE.sub(lambda found: _SCRIPT_ESCAPES[found.group()], text)


@cache
def environment(folder: Path) -> "Environment":
    """Return a Jinja environment over the templates of a folder: everything is escaped, whatever a file is called.

    Plain strings also go through `shown`; an undefined name is an error.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        finalize=_finalize,
    )  # fmt: skip
    made.filters["thousands"] = thousands
    return made


def thousands(number: float) -> str:
    """Return a whole number with thin spaces between thousands, which every language reads alike."""
    return f"{number:,.0f}".replace(",", "\u202f")


def _finalize(value: Any) -> Any:
    return shown(value) if type(value) is str else value
