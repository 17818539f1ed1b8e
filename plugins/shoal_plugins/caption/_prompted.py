"""What captioners that ask a vision-language model share: the prompt, the pixels, tidy answers, rows that fail alone."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar

import pyarrow as pa
from pydantic import Field, field_validator

from shoal.contract import Batch, ImageSpec, RowsFailed
from shoal.errors import StageError
from shoal.kinds import Captioner
from shoal.text import plain
from shoal_plugins.caption._prompt import check_template, fill

if TYPE_CHECKING:
    from shoal.contract import Pixels

PROMPT = (
    "Describe the main subject, action, lighting, and viewpoint of this image in detail (around {caption_length} words)."
)
CAPTION_CHARACTERS = 4000
"""A caption is cut here; a model that runs away fills no table."""
AS_IS = 16_384
"""Longest side where no limit is asked for: larger pictures are refused as bombs before they get here."""
TOKENS_A_WORD = 3
"""Room for a word in tokens, with some to spare: languages differ."""

Item = TypeVar("Item")
Answer = str | Exception


class PromptedCaptioner(Captioner):
    """Base of captioners that ask a model. A subclass gives `generate`; engines that hold a GPU override `resources`."""

    talks: ClassVar[bool] = True
    shorthand: ClassVar[str | None] = "model"

    prompt: str = Field(
        PROMPT, description="What the model is asked about each image; `{caption_length}` is the option of that name."
    )
    caption_length: int = Field(50, ge=1, le=1000, description="Words that the prompt asks for.")
    longest_side: int = Field(
        512,
        ge=0,
        le=AS_IS,
        description="Longest side in pixels to which images are shrunk before the model; 0 leaves them.",
    )
    max_tokens: int = Field(
        0, ge=0, le=8192, description="Tokens after which a caption is cut off; 0 is room for `caption_length` words."
    )

    @field_validator("prompt")
    @classmethod
    def _checked_prompt(cls, text: str) -> str:
        return check_template(text, ("caption_length",))

    @property
    def image(self) -> ImageSpec:
        """The pixels that the model's processor gets: shrunk so that the longest side fits."""
        side = self.longest_side or AS_IS
        return ImageSpec(side, side, fit="inside", resample="bicubic")

    @property
    def budget(self) -> int:
        """Tokens that a caption may have."""
        return self.max_tokens or max(64, TOKENS_A_WORD * self.caption_length)

    @abstractmethod
    def generate(self, prompts: Sequence[str], images: "Sequence[Pixels] | None", max_tokens: int) -> list[Answer]:
        """Return the model's answer to each prompt, or why there is none. Greedy: the same question, the same answer.

        Args:
            prompts: what a user would type; the engine adds its chat template.
            images: an image a prompt, or None for prompts without images.
            max_tokens: limit of an answer.

        Raises:
            StageError: the engine as a whole does not work.
        """

    def map(self, batch: Batch) -> pa.Table:
        """Return the captions of a batch.

        Raises:
            RowsFailed: some images got none.
        """
        prompt = fill(self.prompt, caption_length=self.caption_length)
        images = batch.images or []
        answers = self.generate([prompt] * len(images), images, self.budget) if images else []
        captions = [tidy(answer) for answer in answers]
        return rows_or_failures(captions, "caption", self.produces())

    def ask(self, prompts: Sequence[str], max_tokens: int) -> list[Answer]:
        """Return the model's answers to prompts without an image."""
        return [tidy(answer) for answer in self.generate(prompts, None, max_tokens)] if prompts else []


def tidy(answer: Answer) -> Answer:
    """Return an answer as plain text; an empty one is a failure."""
    if isinstance(answer, Exception):
        return answer
    text = plain(answer, CAPTION_CHARACTERS)
    return text or StageError("the model answered nothing")


def rows_or_failures(values: "Sequence[object]", name: str, schema: pa.Schema) -> pa.Table:
    """Return values as a column; where some are exceptions, raise with the others as the rows that were answered.

    Raises:
        RowsFailed: some values are exceptions.
    """
    good = [value for value in values if not isinstance(value, Exception)]
    table = pa.table([pa.array(good, schema.field(name).type)], schema=schema)
    bad = {row: value for row, value in enumerate(values) if isinstance(value, Exception)}
    if bad:
        raise RowsFailed(table, bad)
    return table


def in_halves(
    run: "Callable[[Sequence[Item]], list[Answer]]", items: "Sequence[Item]", out_of_memory: Callable[[Exception], bool]
) -> list[Answer]:
    """Return what `run` answers; a batch that runs out of memory is halved and tried again, down to single items.

    Args:
        run: answers a batch.
        items: the batch.
        out_of_memory: tells whether an exception means that, and frees what can be freed.
    """
    try:
        return run(items)
    except Exception as error:  # the engines' libraries raise errors of their own
        if not out_of_memory(error):
            raise
        if len(items) == 1:
            return [StageError("the device has too little memory for this image alone; take a smaller `longest_side`")]
    middle = len(items) // 2
    return [*in_halves(run, items[:middle], out_of_memory), *in_halves(run, items[middle:], out_of_memory)]
