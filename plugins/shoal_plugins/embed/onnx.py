"""`embed.onnx`: any ONNX model of images, with a small description of its input."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, Field, PrivateAttr

from shoal.contract import Context, ImageSpec, Resample, Resources, Stage
from shoal.errors import StageError
from shoal.hooks import hookimpl
from shoal.kinds import Embedder
from shoal_plugins.embed._files import absolute, file_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.contract import Pixels
    from shoal_plugins.embed._onnx_graph import GraphPorts, Port

Positive = Annotated[float, Field(gt=0)]
_POOLED_RANKS = {"none": (2,), "mean": (3, 4), "cls": (3,)}


class Onnx(Embedder):
    """Embeds images with any ONNX model, run by ONNX Runtime.

    Say where the file is and what its input wants: the value of a channel is `(pixel * scale - mean) / std` with pixels
    from 0 to 255. A model whose input is uint8 gets the pixels as they are. Width, height and the vector's size are read
    from the graph where it states them. The file's sha256 is part of the stage's identity: a changed file computes anew.
    Take it for a model of your own, or for one that was exported to run fast without PyTorch.

    Source: https://onnx.ai and https://onnxruntime.ai. A row is the same bit for bit in every batch on a CPU, because
    images run one at a time (which is no slower there); on a GPU, batches are padded to one size for the same reason.
    """

    name: ClassVar[str] = "onnx"
    shorthand: ClassVar[str | None] = "path"
    resources: ClassVar[Resources] = Resources(cpus=1.0, batch=32)

    path: Annotated[str, AfterValidator(absolute)] = Field(
        description="The ONNX file. On a cluster it must lie at the same path on every machine.", min_length=1
    )
    layout: Literal["nchw", "nhwc"] = Field("nchw", description="Order of the input's axes: channels first or last.")
    width: int | None = Field(None, ge=1, le=8192, description="Input width in pixels; null reads it from the graph.")
    height: int | None = Field(None, ge=1, le=8192, description="Input height in pixels; null reads it from the graph.")
    fit: Literal["stretch", "crop"] = Field(
        "crop", description="`stretch` ignores the image's proportions; `crop` covers the input and cuts the centre."
    )
    overscan: float = Field(1.0, ge=1, le=4, description="With `crop`: scale to this multiple of the input before cutting.")
    resample: Resample = Field("bicubic", description="Filter of the last scaling step.")
    scale: float = Field(1 / 255, gt=0, description="Factor on a pixel's value (0 to 255), before mean and std.")
    mean: tuple[float, float, float] = Field((0.0, 0.0, 0.0), description="Subtracted from each scaled channel.")
    std: tuple[Positive, Positive, Positive] = Field((1.0, 1.0, 1.0), description="Divides each channel afterwards.")
    channels: Literal["rgb", "bgr"] = Field("rgb", description="Order of the channels; mean and std follow this order.")
    output: str | None = Field(None, description="Name of the output to take; null takes the only one.")
    pooling: Literal["none", "mean", "cls"] = Field(
        "none",
        description="`none` for outputs (n, size); `mean` for tokens (n, tokens, size) or a feature map (n, size, h, w); "
        "`cls` takes the first token.",
    )
    l2: bool = Field(False, description="Whether vectors are scaled to length 1.")

    _session: Any = PrivateAttr(default=None)
    _input: Any = PrivateAttr(default=None)
    _output: Any = PrivateAttr(default=None)
    _size: int = PrivateAttr(default=0)

    @property
    def image(self) -> ImageSpec:
        """The pixels that the model wants, by the options and the graph."""
        height, width = self._sides()
        return ImageSpec(width, height, fit=self.fit, resample=self.resample, overscan=self.overscan)

    @property
    def size(self) -> int:
        """Number of components: read from the graph, worked out from it, or seen in one run on a black image.

        Raises:
            StageError: no such file or output, or an output that `pooling` does not fit.
        """
        port = self._ports().output(self.output)
        size = self._pooled_size(port.shape) if port.shape else None
        if size is None:
            fixed = self._input_shape(batch=1)
            inferred = self._ports(fixed).output(self.output)
            size = self._pooled_size(inferred.shape) if inferred.shape else None
        return self._probed_size() if size is None else size

    def identity(self) -> dict[str, Any]:
        """Return options and the sha256 of the model's file, and of files beside it that hold its weights."""
        ports = self._ports()
        hashes = [file_hash(path) for path in (Path(self.path), *ports.beside)]
        identity = super().identity()
        options = {key: value for key, value in identity["options"].items() if key != "path"}
        return {**identity, "options": options, "sha256": hashes}

    def setup(self, context: Context) -> None:
        """Open the model."""
        from shoal_plugins.embed._session import open_session

        self._input, self._output, self._size = self._check_input(), self._ports().output(self.output), self.size
        self._session = open_session(Path(self.path), context)

    def embed(self, images: "Sequence[Pixels]") -> "NDArray[np.float32]":
        """Return the vectors: (number of images, size).

        Raises:
            StageError: the model gave another size than its graph states.
        """
        from shoal_plugins.embed._session import chunk_size, padded

        size = self._input.shape[0] or chunk_size(self._session)
        rows = np.empty((len(images), self._size), dtype=np.float32)
        for start in range(0, len(images), size):
            chunk = [self._prepare(image) for image in images[start : start + size]]
            values = self._pool(self._session.run([self._output.name], {self._input.name: padded(chunk, size)})[0])
            if values.shape != (size, self._size):
                raise StageError(
                    f"{self.path} gave vectors of shape {values.shape}, not {(size, self._size)} as its graph states"
                )
            rows[start : start + len(chunk)] = values[: len(chunk)]
        return rows

    def _ports(self, fixed: tuple[int | None, ...] = ()) -> "GraphPorts":
        from shoal_plugins.embed._onnx_graph import read_ports

        return read_ports(Path(self.path), fixed)

    def _check_input(self) -> "Port":
        port = self._ports().input
        channel = 1 if self.layout == "nchw" else 3
        if len(port.shape) != 4 or port.shape[channel] not in (3, None):
            raise StageError(
                f"the input {port.name!r} of {self.path} has shape {port.shape}, not an RGB image in {self.layout}"
            )
        if port.dtype not in ("float32", "float16", "uint8"):
            raise StageError(
                f"the input {port.name!r} of {self.path} is {port.dtype}; float32, float16 and uint8 can be fed"
            )
        return port

    def _sides(self) -> tuple[int, int]:
        shape = self._check_input().shape
        stated = shape[2:4] if self.layout == "nchw" else shape[1:3]
        sides = []
        for name, asked, fixed in (("height", self.height, stated[0]), ("width", self.width, stated[1])):
            if asked is not None and fixed is not None and asked != fixed:
                raise StageError(f"{self.path} takes a {name} of {fixed} px only, not {asked}; leave `{name}` out")
            side = asked if asked is not None else fixed
            if side is None:
                raise StageError(f"{self.path} leaves the {name} of its input open; give `{name}` in pixels")
            sides.append(side)
        return sides[0], sides[1]

    def _input_shape(self, batch: int) -> tuple[int, ...]:
        height, width = self._sides()
        count = self._ports().input.shape[0] or batch
        return (count, 3, height, width) if self.layout == "nchw" else (count, height, width, 3)

    def _pooled_size(self, shape: tuple[int | None, ...]) -> int | None:
        if len(shape) not in _POOLED_RANKS[self.pooling]:
            fitting = [name for name, ranks in _POOLED_RANKS.items() if len(shape) in ranks]
            hint = f"set `pooling` to {' or '.join(fitting)}" if fitting else "take another output"
            raise StageError(f"pooling {self.pooling!r} does not fit the output of {self.path}, of shape {shape}; {hint}")
        return shape[1] if len(shape) == 4 else shape[-1]

    def _probed_size(self) -> int:
        from shoal_plugins.embed._onnx_graph import probe

        shape = probe(Path(self.path), self._ports().output(self.output).name, self._input_shape(batch=1))
        return int(self._pooled_size(shape) or 0)

    def _prepare(self, image: "Pixels") -> "NDArray[Any]":
        pixels = image if self.channels == "rgb" else image[:, :, ::-1]
        dtype = self._input.dtype
        if dtype != "uint8":
            std = np.asarray(self.std, dtype=np.float32)
            factor, shift = np.float32(self.scale) / std, np.asarray(self.mean, dtype=np.float32) / std
            pixels = (pixels.astype(np.float32) * factor - shift).astype(dtype)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1) if self.layout == "nchw" else pixels)

    def _pool(self, values: "NDArray[Any]") -> "NDArray[np.float32]":
        values = values.astype(np.float32)
        self._pooled_size(values.shape)
        if self.pooling == "cls":
            values = values[:, 0]
        elif self.pooling == "mean":
            values = values.mean(axis=1) if values.ndim == 3 else values.mean(axis=(2, 3))
        if self.l2:
            from shoal.vectors import unit_length

            values = unit_length(values)
        return values


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Onnx,)
