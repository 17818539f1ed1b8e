"""One loaded model a process: stages of the same model share it, and another model takes its place."""

import gc
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shoal_plugins.caption._prompted import Answer

if TYPE_CHECKING:
    from shoal.contract import Pixels


@dataclass(frozen=True)
class Question:
    """What a model is asked.

    Attributes:
        text: what a user would type, without the marks of the model's chat.
        image: uint8 (height, width, 3), or None for a question without an image.
    """

    text: str
    image: "Pixels | None" = None


class Engine(ABC):
    """A loaded model.

    Attributes:
        notes: facts for the run's record.
        marks: what the model's tokenizer reads as something else than text.
    """

    notes: dict[str, Any]
    marks: tuple[str, ...]

    @abstractmethod
    def answer(self, questions: Sequence[Question], max_tokens: int) -> list[Answer]:
        """Return the model's answer to each question, or why there is none. All of them have an image, or none has."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the weights."""


class _Slot:
    """The engine that this process holds, and the key that it was loaded for."""

    key: str = ""
    engine: Engine | None = None


_slot = _Slot()


def shared(key: str, load: Callable[[], Engine]) -> Engine:
    """Return the engine of `key`: the one that is held, else a new one, before which the held one is freed.

    Two models are never held at once: most fill the device's memory. Two captioners of different models in one pass load
    by turns; give their steps another `run:` each, and they get passes and workers of their own.
    """
    if _slot.engine is None or _slot.key != key:
        free()
        _slot.engine, _slot.key = load(), key
    return _slot.engine


def free() -> None:
    """Let go of the engine that is held, if any."""
    engine, _slot.engine, _slot.key = _slot.engine, None, ""
    if engine is None:
        return
    engine.close()
    del engine
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
