"""Turns texts into vectors of length 1 whose cosine tells how alike they are; says which model does it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from shoal.contract import Context
from shoal_plugins.embed._files import absolute, file_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

MINILM = "minilm"
_KEPT = (".json", ".txt", ".model", ".safetensors", ".bin")


class TextEmbedder(Protocol):
    """What `open_texts` returns."""

    size: int
    """Number of components."""

    def embed(self, texts: "Sequence[str]") -> "NDArray[np.float32]":
        """Return an array (texts, size): length 1, or zeros where the model can't read a text.

        A text's vector is the same, bit for bit, whatever texts are beside it.
        """


def named(model: str) -> str:
    """Return the folder or the name that the option `text_model` means."""
    return absolute(model) if model != MINILM and Path(model).expanduser().is_dir() else model


def model_identity(model: str) -> dict[str, str]:
    """Return what a model's vectors depend on besides its name: the sha256 of its files, as far as they are known here."""
    if model == MINILM:
        from shoal_plugins.rescue._minilm import SHA256

        return {"model.onnx": SHA256}
    folder = Path(model)
    if not folder.is_dir():
        return {}
    files = sorted(path for path in folder.rglob("*") if path.suffix in _KEPT and path.is_file())
    return {path.relative_to(folder).as_posix(): file_hash(path) for path in files}


def open_texts(model: str, revision: str, context: Context) -> TextEmbedder:
    """Return the embedder that the options name; notes it in the record.

    Raises:
        StageError: its files or its library are missing, or it can't be loaded.
    """
    made: Any
    if model == MINILM:
        from shoal_plugins.rescue._minilm import MiniLm

        made = MiniLm(context)
    else:
        from shoal_plugins.rescue._sentences import Sentences

        made = Sentences(model, revision, context)
    context.note("text_model", "all-MiniLM-L6-v2" if model == MINILM else model)
    embedder: TextEmbedder = made
    return embedder
