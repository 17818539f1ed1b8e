"""Keywords and labels read from what a language model answered, however it wrote them."""

import json
import re
import unicodedata
from collections.abc import Iterator

from shoal.text import plain

LONGEST = 60
"""Characters of a keyword; a longer one is a sentence."""
MOST_WORDS = 5
"""Words of a keyword; more are a sentence."""
LABEL_WORDS = 12
"""Words that are kept of a label."""

_READ = 8000
_THOUGHTS = re.compile(r"<think>.*?(?:</think>|$)", re.DOTALL | re.IGNORECASE)
_NAMES = (
    r"key ?words?|key ?phrases?|tags?|labels?|answer|schl\u00fcsselw\u00f6rter|mots-cl\u00e9s|palabras clave"
    r"|\u5173\u952e\u8bcd|\u95dc\u9375\u8a5e|\u30ad\u30fc\u30ef\u30fc\u30c9"
)
_BEFORE = r"[^:\uff1a\n,]"
_PREAMBLE = re.compile(
    rf"^{_BEFORE}{{0,120}}?(?:{_NAMES}){_BEFORE}{{0,80}}[:\uff1a]"
    r"|^(?:[^:\uff1a,\s]+[ \t]+){2,14}[^:\uff1a,\s]+[:\uff1a](?=\s)",
    re.IGNORECASE,
)
"""What models say before a list: a word for keywords and a colon, or some words and a colon."""
_SEPARATORS = re.compile(
    r"[,;|\n\t\u3001\uff0c\uff1b\u060c\u2022\u00b7\u25cf\u25aa\u2023\u2028]|\s/\s"
    r"|(?<!\S)\(?\d{1,2}[.)\u3001](?=\s|$)|(?<!\S)[-*+\u2013\u2014](?=\s)|[.!?](?:\s|$)|[\u3002\uff01\uff1f]"
)
_WRAPPING = "\"'`*_#<>()[]{}\u201c\u201d\u2018\u2019\u201e\u00ab\u00bb\u300c\u300d\u300e\u300f\u3010\u3011.:\uff1a=~/\\ "
_CHAT = re.compile(
    r"(?:i|i'm|here|sure|certainly|of course|okay|note|this|these|that|let me|please|it|as an?|the (?:image|picture|photo))"
    r" .*\s.*",
    re.IGNORECASE,
)
"""Short sentences that models add, of three words and more."""
_AND = re.compile(r"^(?:and|und|et|y|e)\s+", re.IGNORECASE)


def keywords(answer: str, most: int) -> list[str]:
    """Return the keywords of an answer, at most `most`, each once whatever its case; sentences are no keywords.

    Lists by comma, semicolon, line, number, bullet or the marks of Chinese, Japanese and Arabic are read, JSON too, with
    or without a preamble, quotes, Markdown or a model's thoughts before them.
    """
    text = _THOUGHTS.sub(" ", answer[:_READ])
    found: dict[str, str] = {}
    for part in _parts(text):
        keyword = _keyword(part)
        if keyword:
            found.setdefault(keyword.casefold(), keyword)
    return list(found.values())[:most]


def label(answer: str) -> str:
    """Return the label that an answer gives, as a line of at most twelve words; empty where it gives none."""
    text = _PREAMBLE.sub("", _THOUGHTS.sub(" ", answer[:_READ]).strip(), count=1)
    for line in re.split(r"[\n\u3002]|[.!?](?:\s|$)", text):
        words = plain(line, 4 * LONGEST).strip(_WRAPPING).split()[:LABEL_WORDS]
        if any(character.isalpha() for word in words for character in word):
            return " ".join(words).strip(_WRAPPING)
    return ""


def _parts(text: str) -> Iterator[str]:
    listed = _from_json(text)
    if listed is not None:
        yield from listed
        return
    body = re.sub(r"```\w*", " ", text).strip()
    yield from _SEPARATORS.split(_PREAMBLE.sub("", body, count=1))


def _from_json(text: str) -> list[str] | None:
    """Return the strings of the first JSON list in a text; None where there is none."""
    start, end = text.find("["), text.rfind("]")
    if not 0 <= start < end:
        return None
    try:
        found = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        return None
    strings = [item for item in found if isinstance(item, str)]
    return strings or None


def _keyword(part: str) -> str:
    """Return a part of an answer as a keyword; empty where it is none."""
    text = plain(unicodedata.normalize("NFKC", part), 10 * LONGEST).strip(_WRAPPING)
    text = _AND.sub("", text).strip(_WRAPPING)
    ended = part.rstrip(" \"'*").endswith(("!", "?"))
    wordy = len(text) > LONGEST or len(text.split()) > MOST_WORDS or _CHAT.fullmatch(text)
    if ended or wordy or not any(character.isalpha() for character in text):
        return ""
    return text
