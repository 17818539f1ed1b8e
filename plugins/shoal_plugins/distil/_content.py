"""Content words of a caption and phrases of two of them, in languages with spaces and without."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache

from shoal.text import plain
from shoal_plugins.distil._languages import guess, stop_words

READ = 20_000
"""Characters of a caption that are read; what lies behind names nothing that was not named before."""
LONGEST = 48
"""Characters of a word: German compounds fit, what runs on without a space is no word."""
WHOLE = 4
"""Characters up to which a run without spaces is taken for one word; Chinese and Japanese words are rarely longer."""

_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN = re.compile(
    rf"(?P<run>[{_UNSPACED}々]+)|(?P<word>[^\W_](?:['\u2019\-]?(?:[^\W_{_UNSPACED}]|[\u0300-\u036f]))*)|(?P<gap>\s+)|."
)
_CJK = re.compile(r"[\u30a0-\u30ff]+|[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff々]+")
_SENTENCE_END = frozenset(".!?。:")

Chunk = list[str]


def content(caption: str, language: str = "auto") -> list[str]:
    """Return the content words of a caption and the phrases of two that stand side by side, the most important first.

    More often said is more important, then earlier; a phrase stands before its words. No two differ in case only.

    Args:
        caption: any text.
        language: code of its stop words, or `auto`.
    """
    text = plain(unicodedata.normalize("NFKC", caption[:READ]), READ)
    tokens = [match["word"].casefold() for match in _TOKEN.finditer(text) if match["word"]]
    spoken = guess(text, tokens) if language == "auto" else language
    stops = stop_words(spoken)
    counts: Counter[str] = Counter()
    first: dict[str, tuple[int, int, str]] = {}
    for place, (keyword, words) in enumerate(_keywords(text, spoken, stops)):
        key = keyword.casefold()
        if not any(character.isalpha() for character in key):  # marks alone, or characters that Unicode has not assigned
            continue
        counts[key] += 1
        first.setdefault(key, (place, -words, keyword))
    order = sorted(first, key=lambda key: (-counts[key], first[key][0]))
    return [first[key][2] for key in order]


def _keywords(text: str, language: str, stops: frozenset[str]) -> Iterator[tuple[str, int]]:
    """Yield keywords with their number of words, in the order of the text, a phrase before its words."""
    for chunk in _chunks(text, language, stops):
        for place, word in enumerate(chunk):
            if place + 1 < len(chunk):
                yield f"{word} {chunk[place + 1]}", 2
            yield word, 1
    unspaced = _from_thai if language == "th" else _from_cjk
    for match in _TOKEN.finditer(text):
        if match["run"]:
            yield from ((word, 1) for word in unspaced(match["run"], stops))


def _chunks(text: str, language: str, stops: frozenset[str]) -> Iterator[Chunk]:
    """Yield runs of content words: punctuation, stop words and numbers end one."""
    chunk: Chunk = []
    starts = True
    for match in _TOKEN.finditer(text):
        if match["gap"]:
            continue
        word = match["word"]
        if word and _tells(word, stops):
            chunk.append(_bare(_as_in_a_sentence(word, language) if starts else word))
        elif chunk:
            yield chunk
            chunk = []
        starts = match[0] in _SENTENCE_END
    if chunk:
        yield chunk


def _tells(word: str, stops: frozenset[str]) -> bool:
    if len(word) < 2 or len(word) > LONGEST or any(character.isnumeric() for character in word):
        return False
    low = word.casefold().replace("\u2019", "'")
    return low not in stops and low.removesuffix("'s") not in stops


def _as_in_a_sentence(word: str, language: str) -> str:
    """Return the first word of a sentence without its capital; German nouns keep theirs, and so do acronyms."""
    return word.lower() if language != "de" and word[1:].islower() else word


def _bare(word: str) -> str:
    """Return a word without an English genitive."""
    return word[:-2] if word[-2:] in ("'s", "\u2019s") else word


def _from_cjk(run: str, stops: frozenset[str]) -> Iterator[str]:
    """Yield the words of a Chinese or Japanese run.

    Stop words and hiragana (endings and particles) end a piece. A piece of katakana, or of up to four characters, is a
    word; a longer one gives its overlapping pairs of characters, as search engines index such text.
    """
    for piece in _CJK.findall(run):
        for part in filter(None, _splitter(stops)(piece)):
            if "\u30a0" <= part[0] <= "\u30ff":
                yield from [part] if 2 <= len(part) <= LONGEST else []
            elif len(part) <= WHOLE:
                yield part
            else:
                yield from (part[place : place + 2] for place in range(len(part) - 1))


def _from_thai(run: str, stops: frozenset[str]) -> Iterator[str]:
    """Yield overlapping pairs of letters, each with its marks; a short run is a word."""
    letters = _letters(run)
    if run in stops or len(letters) < 2:
        return
    if len(letters) <= 2 * WHOLE:
        yield run
    else:
        yield from ("".join(letters[place : place + 2]) for place in range(len(letters) - 1))


def _letters(run: str) -> list[str]:
    letters: list[str] = []
    for character in run:
        if letters and unicodedata.category(character).startswith("M"):
            letters[-1] += character
        else:
            letters.append(character)
    return letters


@cache
def _splitter(stops: frozenset[str]) -> Callable[[str], list[str]]:
    words = sorted((re.escape(word) for word in stops if _CJK.fullmatch(word)), key=len, reverse=True)
    return re.compile("|".join(words) or r"(?!)").split
