"""Any model of sentence-transformers as text embedder: from a folder, or by name from the Hugging Face hub."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.contract import Context
from shoal.errors import StageError
from shoal_plugins.embed._hub import hub_access, hub_error, need
from shoal_plugins.embed._session import first_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

INSTEAD = "take `text_model: minilm`"


class Sentences:
    """A model with its own tokenizer, pooling and length limit. Texts go through one at a time: none is padded."""

    def __init__(self, model: str, revision: str, context: Context) -> None:
        """Load the model; no code and no pickle of it is run.

        Raises:
            StageError: the library is not installed, or the model can't be had or loaded.
        """
        need("texts", "sentence_transformers", stage=f"rescue.captions with text_model {model!r}")
        from shoal_plugins.embed._torchvision import mend_torchvision

        mend_torchvision()
        import sentence_transformers
        import torch

        self._device = "cuda" if context.gpu and torch.cuda.is_available() else "cpu"
        self._model: Any = _load(model, revision, self._device)
        self.size = int(self._model.get_embedding_dimension() or 0) or len(self._one("a"))
        context.note("backend", f"sentence-transformers {sentence_transformers.__version__}")
        context.note("device", self._device)

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Return unit vectors, shape (texts, size); zeros for blank texts.

        Raises:
            StageError: the model made no finite vector.
        """
        vectors = np.zeros((len(texts), self.size), dtype=np.float32)
        for place, text in enumerate(texts):
            if text.strip():
                vectors[place] = self._one(text)
        if not np.isfinite(vectors).all():
            raise StageError("the text model made a vector that is no finite number; take another `text_model`")
        return vectors

    def _one(self, text: str) -> "NDArray[np.float32]":
        found = self._model.encode([text], batch_size=1, show_progress_bar=False, normalize_embeddings=True)
        return np.asarray(found[0], dtype=np.float32)


def _load(model: str, revision: str, device: str) -> Any:
    from sentence_transformers import SentenceTransformer

    folder = Path(model).is_dir()
    with hub_access(wanted=not folder) as why, _quiet():
        try:
            return SentenceTransformer(
                model,
                device=device,
                revision=None if folder else revision,
                local_files_only=folder or bool(why),
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except Exception as error:  # its libraries each raise their own
            if folder:
                message = f"{model} can't be loaded as a model of sentence-transformers ({first_line(error)})"
                raise StageError(f"{message}; give a folder that its `save` wrote, with safetensors") from error
            told = str(hub_error(model, error, why, INSTEAD))
            raise StageError(told.replace("`model`", "`text_model`")) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence progress bars, and warnings that repeat the error."""
    from transformers.utils import logging as transformers_logging

    logger, bars = logging.getLogger("sentence_transformers"), transformers_logging.is_progress_bar_enabled()
    level, other = logger.level, transformers_logging.get_verbosity()
    logger.setLevel(logging.ERROR)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        transformers_logging.set_verbosity(other)
        if bars:
            transformers_logging.enable_progress_bar()
