"""File names from hostile text: the one place where captions, labels and original names become parts of paths."""

import hashlib
import os
import re
import stat
import unicodedata
from pathlib import Path

from shoal.errors import JournalError, UsageError

PART_BYTES = 120
"""Default limit of one part in UTF-8 bytes: two parts, an extension and a counter fit into the 255 of every file system."""

NAME_BYTES = 255
UNNAMED = "unnamed"
JOURNAL_FOLDER = ".shoal"
"""Folder of the journal below the root of an organised set; no plan may write into it."""

_HASH_DIGITS = 8
_MIN_BYTES = 32
_PUNCTUATION = frozenset("-_.@+,()[]'&")
_CATEGORIES = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd", "Nl", "No"})
# Letters and marks that draw nothing (Default_Ignorable_Code_Point in the Unicode character database).
_INVISIBLE_RANGES = (
    (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x3164, 0x3164), (0xFE00, 0xFE0F),
    (0xFFA0, 0xFFA0), (0xE0100, 0xE01EF),
)  # fmt: skip
_PLAIN = re.compile(r"[A-Za-z0-9_@+,()\[\]'&](?:[A-Za-z0-9_.@+,()\[\]'&-]*[A-Za-z0-9_@+,()\[\]'&-])?")
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file: also with any extension.
_RESERVED = re.compile(r"(?:con|prn|aux|nul|clock|conin|conout|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])(?:\.|$)", re.IGNORECASE)
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,12}")


def file_part(text: str, max_bytes: int = PART_BYTES) -> str:
    """Return `text` as one part of a file name that every common file system takes.

    Letters, digits and combining marks of every script and `-_.@+,()[]'&` stay, in Unicode NFC; spaces become one `_`.
    Everything else (separators, control, bidi and zero-width characters, emoji) goes, and `-` with eight hex digits of
    the text's sha256 is put after what is left, so that texts that differ keep names that differ. The same where the part
    is cut to fit. Dots, spaces and hyphens in front and dots and spaces behind go without a hash; a reserved name
    (`CON`, `nul.txt`) gets `_` in front; where nothing is left the part is `unnamed`. Doing it twice changes nothing.

    Args:
        text: any text, however hostile.
        max_bytes: limit in UTF-8 bytes, hash included; at least 32.

    Raises:
        UsageError: `max_bytes` is under 32.
    """
    if max_bytes < _MIN_BYTES:
        raise UsageError(f"max_bytes is {max_bytes}; a file-name part needs at least {_MIN_BYTES} bytes")
    if len(text) <= max_bytes and _PLAIN.fullmatch(text) and not _RESERVED.match(text):
        return text
    normal = unicodedata.normalize("NFC", text)
    kept = "".join(character if _allowed(character) else " " for character in normal)
    lossy = any(old != new for old, new in zip(normal, kept, strict=True))
    part = unicodedata.normalize("NFC", re.sub(" +", "_", _strip(kept)))
    if not part:
        part, lossy = UNNAMED, bool(normal.strip(" ."))
    if _RESERVED.match(part) and not lossy:
        part = f"_{part}"
    if not lossy and len(part.encode()) <= max_bytes:
        return part
    digest = hashlib.sha256(normal.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    return f"{_prefix_unreserved(_cut(part, max_bytes - _HASH_DIGITS - 2))}-{digest}"


def _allowed(character: str) -> bool:
    if character.isascii():
        return character.isalnum() or character in _PUNCTUATION or character == " "
    return unicodedata.category(character) in _CATEGORIES and not any(
        first <= ord(character) <= last for first, last in _INVISIBLE_RANGES
    )


def _strip(text: str) -> str:
    """Drop what may not start a part (hidden files, options, marks that would join the text before it) or end it."""
    start = 0
    while start < len(text) and (text[start] in " .-" or unicodedata.category(text[start]).startswith("M")):
        start += 1
    return text[start:].rstrip(" .")


def _cut(text: str, max_bytes: int) -> str:
    """Return the longest prefix within `max_bytes` that splits no character and no letter from its marks."""
    if len(text.encode()) <= max_bytes:
        return text
    end = len(text.encode()[:max_bytes].decode(errors="ignore"))
    whole = end
    while end > 1 and unicodedata.category(text[end]).startswith("M"):
        end -= 1
    return text[: end if end > 1 else whole].rstrip(" .")


def _prefix_unreserved(part: str) -> str:
    return f"_{part}" if _RESERVED.match(part) else part


def split_name(name: str) -> tuple[str, str]:
    """Return a file name as (stem, extension); an extension is a dot and at most 12 ASCII letters and digits, else empty."""
    stem, dot, tail = name.rpartition(".")
    extension = dot + tail
    return (stem, extension) if stem and _EXTENSION.fullmatch(extension) else (name, "")


def with_counter(name: str, n: int) -> str:
    """Return `name` with `_n` before its extension, unchanged for n = 0; the stem is cut to fit 255 bytes."""
    if n == 0:
        return name
    stem, extension = split_name(name)
    tail = f"_{n}{extension}"
    return _cut(stem, NAME_BYTES - len(tail.encode())) + tail


def collision_key(name: str) -> str:
    """Return a key that is equal for names that some file system takes for one: case, width and composition are folded."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", name).casefold())


def inside(root: Path, relative: str) -> Path:
    """Return the place of `relative` below `root`, having made sure that nothing leads out of it.

    Args:
        root: a folder; it may itself be reached by a symbolic link.
        relative: path with `/` between its parts.

    Raises:
        JournalError: the path is absolute, has an empty part, `.`, `..`, a backslash or a control character, goes into the
            journal's folder, or one of its parents is a symbolic link or no folder.
    """
    parts = relative.split("/")
    if any(part in ("", ".", "..") for part in parts) or re.search(r"[\x00-\x1f\x7f\\]", relative):
        raise JournalError(f"the target {relative!r} does not stay below the root; use names made by shoal.names.file_part")
    if collision_key(parts[0]) == JOURNAL_FOLDER:
        raise JournalError(f"the target {relative!r} lies in the journal's own folder; choose another name")
    place = top = os.path.realpath(root)
    for part in parts[:-1]:
        place = f"{place}{os.sep}{part}"
        try:
            mode = os.lstat(place).st_mode
        except FileNotFoundError:
            break
        if stat.S_ISLNK(mode):
            raise JournalError(f"{place} is a symbolic link, which could lead out of the target folder; remove it first")
        if not stat.S_ISDIR(mode):
            raise JournalError(f"{place} is a file where a folder is wanted; move it away first")
    return Path(top, *parts)
