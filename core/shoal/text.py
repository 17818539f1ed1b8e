"""Text for people: hostile text made harmless for terminals, spreadsheets and tables; counts in words."""

import re
import unicodedata

# ECMA-48: control sequences (CSI), strings (OSC, DCS, SOS, PM, APC) up to their terminator, other escapes.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]?"
)
_JOINERS = "\u200c\u200d"  # Persian and emoji need them; they draw nothing and move nothing
_FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"


def terminal(text: str) -> str:
    """Return `text` as one line that can't steer a terminal.

    Escape sequences, control characters, bidi marks and zero-width characters go; line breaks and tabs become a space;
    lone surrogates become U+FFFD. For `rich`, also wrap it in `rich.text.Text`, which reads no markup.
    """
    flat = re.sub(r"[\t\n\v\f\r\x85\u2028\u2029]+", " ", _ESCAPES.sub("", text))
    return "".join(_shown(character) for character in flat)


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cs":
        return "\ufffd"
    return "" if category in ("Cc", "Cf") and character not in _JOINERS else character


def without_logins(text: str) -> str:
    """Return `text` with the login in each URL of it masked: errors of servers may tell the whole address."""
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", text)


def plain(text: str, most: int) -> str:
    """Return what a model said as one line of plain text, in Unicode NFC, of at most `most` characters.

    What can steer a terminal goes as in `terminal`, runs of white space become one space. A longer text is cut at a space
    where there is one in the last fifth, and ends with an ellipsis.
    """
    flat = " ".join(unicodedata.normalize("NFC", terminal(text)).split())
    if len(flat) <= most:
        return flat
    head = flat[: most - 1]
    space = head.rfind(" ", most * 4 // 5)
    return f"{head[:space] if space > 0 else head}…"


def amount(count: int, thing: str, several: str = "") -> str:
    """Return how many there are of a thing, in words: `1 task`, `1,000 tasks`.

    Args:
        count: how many.
        thing: what one is called.
        several: what more or none are called; empty adds an `s`.
    """
    return f"{count:,} {thing if count == 1 else several or f'{thing}s'}"


def csv_cell(text: str) -> str:
    """Return `text` so that no spreadsheet takes it for a formula: a `'` goes in front where it could.

    That is where it starts with tab, carriage return or newline, or where `= + - @` (or their full-width forms) come first
    after white space. Give numbers to the CSV writer as numbers. Doing it twice changes nothing.
    Source: OWASP, "CSV Injection".
    """
    first = text.lstrip()[:1]
    return f"'{text}" if text[:1] in ("\t", "\r", "\n") or (first and first in _FORMULA) else text
