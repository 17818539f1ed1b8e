"""`distil.words`: the words of a caption that say something, without a language model."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field, field_validator

from shoal.contract import Batch, Context, Resources, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Distiller
from shoal_plugins.distil._content import content
from shoal_plugins.distil._languages import languages, stop_words


class Words(Distiller):
    """Keep the content words of a caption, and the phrases of two that stand side by side: no language model.

    "A brown dog on the grass near a lake" gives brown dog, brown, dog, grass, lake. Stop words of the caption's language,
    numbers, percentages, and what captions say of themselves ("image", "background") are dropped; they and punctuation end
    a phrase. What is said more often comes first, then what is said earlier; a phrase comes before its words.

    Chinese and Japanese text, which has no spaces, is cut at stop words, punctuation and hiragana; what is left is a word
    if it is katakana or has up to four characters, else each pair of neighbouring characters is one. Thai, Lao, Khmer and
    Burmese runs of more than eight letters give pairs of letters, too.

    Take it where captions come without a language model (`caption.tags`); `distil.prompt` turns into it there. A caption
    without content words gives an empty list.

    Source: stop words of stopwords-iso (MIT); phrases between stop words as in Rose et al., "Automatic Keyword Extraction
    from Individual Documents", 2010.
    """

    name: ClassVar[str] = "words"
    shorthand: ClassVar[str | None] = "language"
    resources: ClassVar[Resources] = Resources(batch=256)

    language: str = Field(
        "auto",
        pattern=r"^(auto|[a-z]{2})$",
        description="Code of the language whose stop words are dropped (`en`, `zh`); `auto` finds it for each caption.",
    )
    max_keywords: int = Field(40, ge=1, le=200, description="Keywords kept of a caption.")

    @field_validator("language")
    @classmethod
    def _known_language(cls, code: str) -> str:
        if code != "auto" and code not in languages():
            raise ValueError(f"no stop words are known for {code!r}; known: auto, {', '.join(sorted(languages()))}")
        return code

    def identity(self) -> dict[str, Any]:
        """Return the options and the version of the stop words: other words make other rows."""
        try:
            known = version("stopwordsiso")
        except PackageNotFoundError:
            known = ""
        return {**super().identity(), "stopwordsiso": known}

    def setup(self, context: Context) -> None:
        """Read the stop words."""
        context.note("backend", "stop words")
        stop_words("en" if self.language == "auto" else self.language)

    def map(self, batch: Batch) -> pa.Table:
        """Return the keywords of each caption; a missing caption has none."""
        captions = batch.rows["caption"].to_pylist()
        keywords = [content(caption or "", self.language)[: self.max_keywords] for caption in captions]
        return pa.table([pa.array(keywords, pa.list_(pa.string()))], schema=self.produces())


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the distiller."""
    return (Words,)
