"""What the embedders on PyTorch share: options of speed and precision, devices, and batches that change no row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from shoal.contract import Context, ImageSpec, Resources
from shoal.errors import StageError
from shoal.kinds import Embedder
from shoal.vectors import unit_length
from shoal_plugins.embed._session import GPU_BATCH, first_line, padded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.contract import Pixels

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Preparation:
    """How a model wants its pixels: the shape, then `(pixel * scale - mean) / std` for each channel."""

    spec: ImageSpec
    mean: Triple
    std: Triple
    scale: float = 1 / 255


class TorchEmbedder(Embedder):
    """Base of embedders on PyTorch. On a CPU images run one at a time, on a GPU in batches padded to one size."""

    resources: ClassVar[Resources] = Resources(cpus=1.0, gpus=1.0, batch=32)

    mixed_precision: bool = Field(
        True, description="Whether a GPU multiplies in half precision; a CPU stays with float32 unless `half` names a type."
    )
    half: Literal["auto", "bfloat16", "float16"] = Field(
        "auto", description="The half precision type; `auto` is bfloat16 on GPUs that have it, else float16."
    )
    compile: bool = Field(False, description="Whether torch.compile prepares the model: slower start, then faster.")
    channels_last: bool = Field(False, description="Whether pixels lie channel by channel; faster for convolutions on GPUs.")
    l2: bool = Field(False, description="Whether vectors are scaled to length 1.")

    _runner: Any = PrivateAttr(default=None)

    def embed(self, images: "Sequence[Pixels]") -> "NDArray[np.float32]":
        """Return the vectors: (number of images, size)."""
        rows: NDArray[np.float32] = self._runner(images)
        return unit_length(rows) if self.l2 else rows


class Runner:
    """Runs a model on images of one size.

    Args:
        model: module that is already loaded.
        forward: what turns a float batch (n, 3, height, width) into vectors (n, size) with it.
        preparation: what its pixels want.
        stage: whose options to follow.
        context: the worker's devices and notes.

    Raises:
        StageError: torch.compile does not work here, or the vectors have another size than the stage said.
    """

    def __init__(
        self, model: Any, forward: Callable[[Any], Any], *, preparation: Preparation, stage: TorchEmbedder, context: Context
    ) -> None:
        """Move the model to its device and try it on a black image."""
        import torch

        self.device = device_of(context)
        self.half = _half(stage, self.device)
        self.chunk = GPU_BATCH if self.device == "cuda" else 1
        self.layout = torch.channels_last if stage.channels_last else torch.contiguous_format
        self.size, self.title = stage.size, stage.title()
        if self.device == "cpu":
            torch.set_num_threads(max(context.threads, 1))
        model.eval().requires_grad_(False).to(self.device, memory_format=self.layout)
        self.scale = preparation.scale
        self.mean, self.std = (self._channels(values) for values in (preparation.mean, preparation.std))
        self.forward = torch.compile(forward, dynamic=False) if stage.compile else forward
        context.note("backend", f"torch {torch.__version__}")
        context.note("device", torch.cuda.get_device_name() if self.device == "cuda" else "cpu")
        context.note("dtype", "float32" if self.half is None else f"mixed {str(self.half).removeprefix('torch.')}")
        self._try(preparation.spec, stage.compile)

    def __call__(self, images: "Sequence[Pixels]") -> "NDArray[np.float32]":
        """Return the vectors of images: (number of images, size)."""
        rows = np.empty((len(images), self.size), dtype=np.float32)
        for start in range(0, len(images), self.chunk):
            chunk = images[start : start + self.chunk]
            rows[start : start + len(chunk)] = self._vectors(padded(chunk, self.chunk))[: len(chunk)]
        if not np.isfinite(rows).all():
            raise StageError(f"{self.title} computed values that are not numbers; set `mixed_precision: off`")
        return rows

    def _vectors(self, pixels: "NDArray[np.uint8]") -> "NDArray[np.float32]":
        import torch

        with torch.inference_mode(), torch.autocast(self.device, dtype=self.half, enabled=self.half is not None):
            batch = torch.tensor(pixels).to(self.device).permute(0, 3, 1, 2).float()
            batch = ((batch * self.scale - self.mean) / self.std).contiguous(memory_format=self.layout)
            vectors: NDArray[np.float32] = self.forward(batch).float().cpu().numpy()
        if vectors.shape != (len(pixels), self.size):
            raise StageError(
                f"{self.title} gave vectors of shape {vectors.shape[1:]}, not ({self.size},) as its config says"
            )
        return vectors

    def _channels(self, values: Triple) -> Any:
        import torch

        return torch.tensor(values, dtype=torch.float32, device=self.device).reshape(1, 3, 1, 1)

    def _try(self, spec: ImageSpec, compiled: bool) -> None:
        black = np.zeros((self.chunk, spec.height, spec.width, 3), dtype=np.uint8)
        try:
            self._vectors(black)
        except StageError:
            raise
        except Exception as error:  # a compiler that is not there, a graph that it can't follow, too little memory
            mend = "set `compile: off`" if compiled else "see whether the model takes images of this size"
            raise StageError(f"{self.title} does not run here ({first_line(error)}); {mend}") from error


def device_of(context: Context) -> str:
    """Return `cuda` where the worker has a GPU that PyTorch can use, else `cpu`; a GPU that it can't use is noted."""
    import torch

    if context.gpu and not torch.cuda.is_available():
        context.note("device_reason", "a GPU was given, but this PyTorch can't use it: install a PyTorch with CUDA")
    return "cuda" if context.gpu and torch.cuda.is_available() else "cpu"


def _half(stage: TorchEmbedder, device: str) -> Any:
    import torch

    if not stage.mixed_precision:
        return None
    if stage.half != "auto":
        return getattr(torch, stage.half)
    if device == "cpu":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
