"""A captioner that answers prompts by a rule instead of a network: what it is asked is seen, what it says is known."""

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import PrivateAttr

from shoal.contract import Batch, Context, Resources
from shoal.errors import StageError
from shoal.kinds import Captioner

FENCED = re.compile(r"<description>\n(.*)\n</description>", re.DOTALL)


class Parrot(Captioner):
    """Answers with the description that it is shown: words of four letters and more, put together as `form` says."""

    name: ClassVar[str] = "parrot"
    talks: ClassVar[bool] = True
    form: str = "Keywords: {}"
    gpus: float = 0.0

    _asked: list[str] = PrivateAttr([])
    _ready: bool = PrivateAttr(False)

    def needs(self) -> Resources:
        return Resources(gpus=self.gpus, batch=4)

    def setup(self, context: Context) -> None:
        self._ready = True

    def map(self, batch: Batch) -> pa.Table:
        return pa.table([pa.array(["a dog"] * len(batch), pa.string())], schema=self.produces())

    def ask(self, prompts: Sequence[str], max_tokens: int) -> list[str | Exception]:
        if not self._ready:
            raise StageError("not set up")
        self._asked += prompts
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: str) -> str | Exception:
        (said,) = FENCED.findall(prompt)
        if "unspeakable" in said:
            return StageError("the model answered nothing")
        words = re.findall(r"\w{4,}", said)
        return self.form.format(", ".join(words[:4]))


class Silent(Captioner):
    """Writes captions and answers no prompt."""

    name: ClassVar[str] = "silent"

    def map(self, batch: Batch) -> pa.Table:
        return pa.table([pa.nulls(len(batch), pa.string())], schema=self.produces())


def rows(captions: Sequence[str | None]) -> Batch:
    """Return a batch of captions."""
    ids = [f"{row:064x}" for row in range(len(captions))]
    return Batch(pa.table({"id": ids, "caption": pa.array(captions, pa.string())}))


def distilled(stage: Any, captions: Sequence[str | None]) -> list[list[str]]:
    """Return the keywords that a stage answers."""
    answer = stage.map(rows(captions))
    assert answer.schema.equals(stage.produces())
    return list(answer["keywords"].to_pylist())
