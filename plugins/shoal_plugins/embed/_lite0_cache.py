"""Keeps the ONNX graph of EfficientNet-Lite0 on disk, so that it is written once a machine."""

import hashlib
import os
import tempfile
from pathlib import Path

from shoal.contract import Context
from shoal_plugins.embed._lite0_graph import OPSET, write_graph
from shoal_plugins.embed._lite0_weights import SHA256, read_weights, weights_file

RECIPE = f"lite0-{SHA256[:12]}-opset{OPSET}-v1"
"""What the graph is made from; raise `v1` when `write_graph` writes another graph."""


def lite0_model(context: Context) -> bytes:
    """Return the ONNX model: from the cache, else written there.

    A file's name carries the sha256 of its bytes, so that a damaged file is not taken for the model. Two processes at once
    write the same bytes and each publishes them in one step. Where the folder can't be written the model is made again by
    each worker, and the record says so.

    Raises:
        StageError: the weights are missing, or are not those that shoal knows.
    """
    folder = context.cache / "onnx"
    for path in sorted(folder.glob(f"{RECIPE}-*.onnx")):
        model = _read_checked(path)
        if model is not None:
            return model
    model = write_graph(read_weights(weights_file()))
    try:
        _publish(folder, model)
    except OSError as error:
        context.note("cache", f"the model could not be kept in {folder}: {error.strerror or error}")
    return model


def _read_checked(path: Path) -> bytes | None:
    try:
        model = path.read_bytes()
    except OSError:
        return None
    return model if path.stem.endswith(hashlib.sha256(model).hexdigest()) else None


def _publish(folder: Path, model: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{RECIPE}-{hashlib.sha256(model).hexdigest()}.onnx"
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(model)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
