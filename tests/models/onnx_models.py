"""Makes tiny ONNX models of images with random weights and open or fixed shapes."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

FILTERS = 6


def weights(seed: int = 0) -> np.ndarray:
    """Return the filters of the tiny models: (6, 3, 4, 4)."""
    return np.random.default_rng(seed).normal(0, 0.3, (FILTERS, 3, 4, 4)).astype(np.float32)


def make_conv(
    path: Path,
    *,
    head: str = "vector",
    layout: str = "nchw",
    side: int | None = 32,
    batch: int | str = "n",
    stated: bool = True,
    dtype: str = "float32",
    external: bool = False,
) -> Path:
    """Write a model with one convolution (kernel and stride 4) and return its path.

    Args:
        path: file to write.
        head: `vector` gives (n, 6), `tokens` (n, tokens, 6), `map` (n, 6, h, w), `two` gives a vector and tokens.
        layout: `nchw` or `nhwc`.
        side: height and width of the input; None leaves them open.
        batch: size of a batch; a name leaves it open.
        stated: whether the outputs' sizes are written in the file.
        dtype: of the input.
        external: whether the weights lie in a file beside it.
    """
    height = "h" if side is None else side
    shape = [batch, 3, height, height] if layout == "nchw" else [batch, height, height, 3]
    kind = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "float16": TensorProto.FLOAT16}[dtype]
    nodes, source = [], "image"
    if dtype != "float32":
        nodes.append(helper.make_node("Cast", [source], ["floats"], to=TensorProto.FLOAT))
        source = "floats"
    if layout == "nhwc":
        nodes.append(helper.make_node("Transpose", [source], ["planes"], perm=[0, 3, 1, 2]))
        source = "planes"
    nodes.append(helper.make_node("Conv", [source, "weight"], ["map"], strides=[4, 4], kernel_shape=[4, 4]))
    if head in ("vector", "two"):
        nodes += [
            helper.make_node("GlobalAveragePool", ["map"], ["p"]),
            helper.make_node("Flatten", ["p"], ["vector"], axis=1),
        ]
    if head in ("tokens", "two"):
        nodes.append(helper.make_node("Reshape", ["map", "flat"], ["rows"]))
        nodes.append(helper.make_node("Transpose", ["rows"], ["tokens"], perm=[0, 2, 1]))
    size = FILTERS if stated else "d"
    shapes = {"vector": [batch, size], "tokens": [batch, "t", size], "map": [batch, size, "a", "b"]}
    outputs = ["vector", "tokens"] if head == "two" else [head]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in outputs],
        initializer=[
            numpy_helper.from_array(weights(), "weight"),
            numpy_helper.from_array(np.array([0, FILTERS, -1], dtype=np.int64), "flat"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    extra = {"save_as_external_data": True, "location": f"{path.name}.data", "size_threshold": 0} if external else {}
    save(model, str(path), **extra)
    return path


def expected(image: np.ndarray, scale: float, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return the feature map of the tiny model by numpy: (6, h, w)."""
    pixels = ((image.astype(np.float64) * scale - mean) / std).transpose(2, 0, 1)
    rows, columns = pixels.shape[1] // 4, pixels.shape[2] // 4
    blocks = pixels[:, : rows * 4, : columns * 4].reshape(3, rows, 4, columns, 4)
    return np.einsum("crhsw,fchw->frs", blocks, weights().astype(np.float64))
