"""Writes EfficientNet-Lite0 as an ONNX graph, once a machine, from the arrays of its weights."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 224
FEATURES = 1280
CLASSES = 1000
OPSET = 17

_EPSILON = 1e-3  # of batch normalisation
_MEAN, _SCALE = 127.0, 128.0
# (repeats, kernel, stride of the first, expansion) of each stage of MBConv blocks: table 1 of EfficientNet (Tan and Le 2019,
# arXiv 1905.11946), without squeeze-and-excitation and with ReLU6, which is what makes it "Lite".
_STAGES = ((1, 3, 1, 1), (2, 3, 2, 6), (2, 5, 2, 6), (3, 3, 2, 6), (3, 5, 1, 6), (4, 5, 2, 6), (1, 3, 1, 6))


class _Graph:
    """Collects nodes and constants; each method appends one layer and returns the name of its output."""

    def __init__(self, weights: "dict[str, NDArray[Any]]") -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: "NDArray[Any]") -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def scalar(self, name: str, value: float) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.array(value, dtype=np.float32), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def relu6(self, source: str) -> str:
        return self.node("Clip", [source, "zero", "six"], f"{source}/relu6")

    def conv(self, source: str, conv: str, norm: str, *, stride: int = 1, groups: int = 1, side: int = 1) -> str:
        """Append a convolution with its batch normalisation folded in, padded as TensorFlow's SAME."""
        weight, bias = fold(self.weights, conv, norm)
        kernel = weight.shape[-1]
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        before, after = total // 2, total - total // 2
        return self.node(
            "Conv",
            [source, self.constant(f"{conv}.weight", weight), self.constant(f"{conv}.bias", bias)],
            conv,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=groups,
        )


def fold(weights: "dict[str, NDArray[Any]]", conv: str, norm: str) -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
    """Return weight and bias of a convolution with the batch normalisation that follows it multiplied in."""
    gamma, beta, mean, var = (
        weights[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gamma / np.sqrt(var + _EPSILON)
    weight = weights[f"{conv}.weight"].astype(np.float64) * factor[:, None, None, None]
    return weight.astype(np.float32), (beta - mean * factor).astype(np.float32)


def write_graph(weights: "dict[str, NDArray[Any]]") -> bytes:
    """Return the ONNX model: `image` uint8 (n, 224, 224, 3) to `embedding` (n, 1280) and `probabilities` (n, 1000)."""
    from onnx import TensorProto, checker, helper

    graph = _Graph(weights)
    graph.scalar("zero", 0)
    graph.scalar("six", 6)
    pixels = _normalise(graph)
    features = _features(graph, pixels)
    pooled = graph.node("GlobalAveragePool", [features], "pooled")
    graph.node("Flatten", [pooled], "embedding", axis=1)
    _classify(graph, pooled)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "efficientnet-lite0",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", SIDE, SIDE, 3])],
            [
                helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", FEATURES]),
                helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", CLASSES]),
            ],
            initializer=graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,  # read by every ONNX Runtime since 1.10
        producer_name="shoal",
    )
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _normalise(graph: _Graph) -> str:
    from onnx import TensorProto

    planes = graph.node("Transpose", ["image"], "planes", perm=[0, 3, 1, 2])
    floats = graph.node("Cast", [planes], "floats", to=TensorProto.FLOAT)
    centred = graph.node("Sub", [floats, graph.scalar("mean", _MEAN)], "centred")
    return graph.node("Mul", [centred, graph.scalar("scale", 1 / _SCALE)], "pixels")


def _features(graph: _Graph, pixels: str) -> str:
    side = SIDE
    out = graph.relu6(graph.conv(pixels, "_conv_stem", "_bn0", stride=2, side=side))
    side //= 2
    number = 0
    for repeats, kernel, first_stride, expansion in _STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            out = _block(
                graph,
                out,
                f"_blocks.{number}",
                kernel=kernel,
                stride=stride,
                expansion=expansion,
                side=side,
                residual=repeat > 0,
            )
            side //= stride
            number += 1
    return graph.relu6(graph.conv(out, "_conv_head", "_bn1"))


def _block(
    graph: _Graph, source: str, name: str, *, kernel: int, stride: int, expansion: int, side: int, residual: bool
) -> str:
    """Append an inverted bottleneck: widen, convolve each channel by itself, narrow, add the input back."""
    out = source
    if expansion != 1:
        out = graph.relu6(graph.conv(out, f"{name}._expand_conv", f"{name}._bn0"))
    groups = graph.weights[f"{name}._depthwise_conv.weight"].shape[0]
    out = graph.relu6(graph.conv(out, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride, groups=groups, side=side))
    out = graph.conv(out, f"{name}._project_conv", f"{name}._bn2")
    return graph.node("Add", [out, source], f"{name}.sum") if residual else out


def _classify(graph: _Graph, pooled: str) -> None:
    weight, bias = graph.weights["_fc.weight"], graph.weights["_fc.bias"]
    logits = graph.node(
        "Conv",
        [pooled, graph.constant("_fc.weight", weight[:, :, None, None]), graph.constant("_fc.bias", bias)],
        "_fc",
        kernel_shape=[1, 1],
    )
    flat = graph.node("Flatten", [logits], "logits", axis=1)
    graph.node("Softmax", [flat], "probabilities", axis=1)
