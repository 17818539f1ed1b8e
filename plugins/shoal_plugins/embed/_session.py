"""Opens ONNX Runtime sessions whose rows never depend on their batch, and says on what they run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.contract import Context
from shoal.errors import StageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

GPU_BATCH = 32
_CUDA = "CUDAExecutionProvider"


def open_session(model: bytes | Path, context: Context) -> Any:
    """Return an `InferenceSession` on the worker's GPU, if it has one and ONNX Runtime can use it, else on the CPU.

    Notes `backend` and `device` in the record.

    Raises:
        StageError: ONNX Runtime can't read the model.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(context.threads, 1)
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # its warnings name nodes of the graph, which help no user
    options.use_deterministic_compute = True
    # Threads that spin between operators take the cores from the other workers of this machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    cuda = context.gpu and _CUDA in onnxruntime.get_available_providers()
    providers: list[Any] = ["CPUExecutionProvider"]
    if cuda:
        # The default search times each algorithm and may take another one next time: other last bits.
        providers.insert(0, (_CUDA, {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}))
    source = model if isinstance(model, bytes) else str(model)
    try:
        session = onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:  # its exceptions share no base but Exception
        where = "the graph" if isinstance(model, bytes) else str(model)
        raise StageError(f"ONNX Runtime can't open {where}: {first_line(error)}") from error
    used = str(session.get_providers()[0])
    context.note("backend", f"onnxruntime {onnxruntime.__version__}")
    context.note("device", "cuda" if used == _CUDA else "cpu")
    context.note("dtype", "float32")
    if context.gpu and used != _CUDA:
        context.note("device_reason", "a GPU was given, but this ONNX Runtime can't use it: install onnxruntime-gpu")
    return session


def chunk_size(session: Any) -> int:
    """Return how many images one call of the session gets.

    One on the CPU, where a larger batch leaves the caches and is slower (EfficientNet-Lite0, one thread: 192 images/s by
    one, 169 by 8, 146 by 32); one fixed number on a GPU, so that every call takes the same kernels.
    """
    return GPU_BATCH if session.get_providers()[0] == _CUDA else 1


def padded(chunk: "Sequence[NDArray[Any]]", size: int) -> "NDArray[Any]":
    """Stack up to `size` arrays into a batch of exactly `size` by repeating the last."""
    if size == 1:
        return np.asarray(chunk[0])[None]
    return np.stack([*chunk, *[chunk[-1]] * (size - len(chunk))])


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
