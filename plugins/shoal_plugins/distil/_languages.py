"""Languages of captions: which one a caption is in, and the words of it that say nothing about an image."""

import re
from collections.abc import Collection
from functools import cache

from shoal.errors import StageError

GUESSED = (
    "en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "no", "fi", "pl", "cs", "sk", "hu", "ro", "hr", "sl", "tr",
    "id", "vi", "ru", "uk", "bg", "el", "ar", "fa", "he", "hi", "ko",
)  # fmt: skip
"""Languages that `auto` tells from one another by their stop words; where two fit alike, the earlier one is taken."""

MIN_HITS = 2
"""Stop words that a caption must hold beyond the English ones to be of another language: "gar" is a fish, and "even" to
Germans."""

_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("zh", re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("ko", re.compile(r"[\uac00-\ud7a3]")),
)
"""Scripts that tell the language at once. Kana first: Japanese uses Chinese characters, too."""

_TALK = {
    "en": "image photo photograph picture pic depicts depict depicting depicted features featuring captures capturing "
    "captured displays displaying displayed visible appears appear appearing scene unclear perhaps background foreground "
    "overall viewpoint standing positioned located situated creating create creates various",
    "de": "bild foto fotografie aufnahme zeigt zeigen abgebildet sichtbar hintergrund vordergrund szene",
    "fr": "image photo photographie montre montrant visible scène fond",
    "es": "imagen foto fotografía muestra visible escena fondo",
    "zh": "图片 照片 图像 画面 背景 显示 展示 描绘 这是 这张 一张 一只 一座 一位 一幅 一条 两只 有着 位于 正在 可以 看到",
    "ja": "画像 写真 背景 様子 風景写真",
}
"""What captions say of themselves: true of any image, so it names none."""

_THINGS = frozenset(["computer", "face", "faces", "fire", "home", "room", "ring", "round", "bill", "man", "men", "mill"])
"""Words of the English list that are things in pictures."""


def guess(caption: str, tokens: Collection[str]) -> str:
    """Return the language of a caption: by its script, else the one whose stop words it clearly holds most of, else English.

    Args:
        caption: the text.
        tokens: its words, in lower case.
    """
    for language, script in _SCRIPTS:
        if script.search(caption):
            return language
    found = set(tokens)
    hits = {language: len(found & stop_words(language)) for language in GUESSED}
    best = max(hits, key=hits.__getitem__)
    return best if hits[best] >= hits["en"] + MIN_HITS else "en"


@cache
def stop_words(language: str) -> frozenset[str]:
    """Return the words of a language that are no keywords, in lower case (package stopwordsiso, and a few of our own).

    Raises:
        StageError: no list of that language is known.
    """
    from stopwordsiso import stopwords

    known = stopwords(language)
    if not known:
        raise StageError(f"no stop words are known for the language {language!r}; leave `language` at auto")
    kept = _THINGS if language == "en" else frozenset()
    return (frozenset(word.casefold() for word in known) | frozenset(_TALK.get(language, "").split())) - kept


@cache
def languages() -> frozenset[str]:
    """Return the codes of the languages whose stop words are known (ISO 639-1)."""
    from stopwordsiso import langs

    return frozenset(langs())
