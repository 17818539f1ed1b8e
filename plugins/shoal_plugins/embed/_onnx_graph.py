"""Reads what an ONNX file says of its input and outputs, without running it."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from shoal.errors import StageError
from shoal_plugins.embed._files import file_hash
from shoal_plugins.embed._session import first_line

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Port:
    """An input or output of a graph.

    Attributes:
        name: what the graph calls it.
        dtype: numpy's name of its element type.
        shape: its dimensions, None where the graph leaves one open.
    """

    name: str
    dtype: str
    shape: Shape


@dataclass(frozen=True)
class GraphPorts:
    """The one input and the outputs of a graph, and the files beside it that hold its weights."""

    input: Port
    outputs: tuple[Port, ...]
    beside: tuple[Path, ...]

    def output(self, name: str | None) -> Port:
        """Return the output of this name, or the only one.

        Raises:
            StageError: there are several and none is named, or none has this name.
        """
        names = ", ".join(port.name for port in self.outputs)
        if name is None and len(self.outputs) > 1:
            raise StageError(f"the ONNX model has several outputs ({names}); say which with `output`")
        found = [port for port in self.outputs if name in (None, port.name)]
        if not found:
            raise StageError(f"the ONNX model has no output {name!r}; it has {names}")
        return found[0]


def read_ports(path: Path, fixed: Shape = ()) -> GraphPorts:
    """Return what the file at `path` says of itself.

    Args:
        path: the ONNX file.
        fixed: shape of the input to work the outputs' shapes out with, where the file leaves them open.

    Raises:
        StageError: no such file, no ONNX file, or more than one input.
    """
    return _read(path, file_hash(path), fixed)


@lru_cache(maxsize=32)
def _read(path: Path, _sha256: str, fixed: Shape) -> GraphPorts:
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf raises its own classes, which differ by version
        raise StageError(f"{path} is not an ONNX file ({first_line(error)}); correct the path in the pipeline") from error
    constants = {constant.name for constant in model.graph.initializer}
    inputs = [_port(value) for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(port.name for port in inputs) or "none"
        raise StageError(
            f"{path} must have one input, the image; it has {len(inputs)} ({names}): export the image part alone"
        )
    beside = _external_files(path, model)
    if fixed:
        model = _inferred(model, inputs[0].name, fixed)
    return GraphPorts(inputs[0], tuple(_port(value) for value in model.graph.output), beside)


def _port(value: Any) -> Port:
    from onnx import helper

    tensor = value.type.tensor_type
    shape = tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in tensor.shape.dim)
    return Port(value.name, str(helper.tensor_dtype_to_np_dtype(tensor.elem_type)), shape)


def _external_files(path: Path, model: Any) -> tuple[Path, ...]:
    from onnx import TensorProto

    names = {
        entry.value
        for constant in model.graph.initializer
        if constant.data_location == TensorProto.EXTERNAL
        for entry in constant.external_data
        if entry.key == "location"
    }
    return tuple(path.parent / name for name in sorted(names))


def _inferred(model: Any, name: str, fixed: Shape) -> Any:
    import onnx

    for value in model.graph.input:
        if value.name == name:
            for dim, size in zip(value.type.tensor_type.shape.dim, fixed, strict=True):
                if size is not None:
                    dim.dim_value = size
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if not (dim.HasField("dim_value") and dim.dim_value > 0):
                dim.Clear()
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception:  # a graph that inference can't follow keeps its open shapes; the caller asks for a probe
        return model


def probe(path: Path, output: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of an output, by running the model once on a black image.

    Raises:
        StageError: the model can't be opened or does not run on an input of this shape.
    """
    return _probe(path, file_hash(path), output, shape)


@lru_cache(maxsize=32)
def _probe(path: Path, sha256: str, output: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    import numpy as np

    from shoal.contract import Context
    from shoal_plugins.embed._session import open_session

    port = _read(path, sha256, ()).input
    session = open_session(path, Context())
    try:
        values = session.run([output], {port.name: np.zeros(shape, dtype=port.dtype)})[0]
    except Exception as error:  # its exceptions share no base but Exception
        raise StageError(f"{path} does not run on an input of shape {shape}: {first_line(error)}") from error
    return tuple(values.shape)
