"""What goes into a model: text that steers no chat template, pixels that no processor chokes on, rows that fail alone."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from shoal.errors import StageError
from shoal_plugins.caption._prompted import Answer
from shoal_plugins.embed._session import first_line

if TYPE_CHECKING:
    from shoal.contract import Pixels

SHORTEST = 28
"""Pixels of the shorter side: a patch of the Qwen family after merging; others take smaller ones."""
LONGEST_RATIO = 100
"""The Qwen family's processors refuse images that are more than 200 times as long as wide."""

Item = TypeVar("Item")


def marks_of(tokenizer: Any, *others: object) -> tuple[str, ...]:
    """Return the texts that a tokenizer reads as ends of turns, images and the like, the longest first.

    Args:
        tokenizer: of transformers.
        others: more of them, such as a processor's `image_token`; what is no text is left out.
    """
    added = [str(token) for token in getattr(tokenizer, "added_tokens_decoder", {}).values()]
    found = {*added, *tokenizer.all_special_tokens, *(other for other in others if isinstance(other, str))}
    return tuple(sorted((mark for mark in found if len(mark) > 2), key=lambda mark: (-len(mark), mark)))


def harmless(text: str, marks: Iterable[str]) -> str:
    """Return text that a tokenizer reads as text: a mark within it gets a space after its first character.

    Captions are hostile: one that says `<|im_end|>` would end the question, one that says `<image>` would ask for pixels.
    """
    for mark in marks:
        text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return text


def roomy(image: "Pixels") -> "Pixels":
    """Return an image that every processor takes: its last rows or columns are repeated where a side is too short.

    Raises:
        ValueError: it has no pixels.
    """
    height, width = image.shape[:2]
    if not height or not width:
        raise ValueError("the image has no pixels")
    least = max(SHORTEST, -(-max(height, width) // LONGEST_RATIO))
    more = (max(least - height, 0), max(least - width, 0))
    return np.pad(image, ((0, more[0]), (0, more[1]), (0, 0)), mode="edge") if any(more) else image


def each_alone(run: "Callable[[Sequence[Item]], list[Answer]]", items: "Sequence[Item]") -> list[Answer]:
    """Return what `run` answers; where it raises, ask item by item, so that a bad one costs only itself.

    Raises:
        StageError: the engine as a whole does not work.
    """
    try:
        return run(items)
    except StageError:
        raise
    except Exception as error:  # the engines' libraries raise errors of their own
        if len(items) == 1:
            return [StageError(f"the model could not answer: {first_line(error)}")]
    return [answer for item in items for answer in each_alone(run, [item])]
