"""Options and sources for the built-ins that can't be checked on their defaults: weights and manifests made on the spot."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Made = tuple[dict[str, Any], dict[str, Any]]
"""Options of the stage, and what else `check_stage` is given."""


def manifest(folder: Path) -> Made:
    """A CSV manifest of two images."""
    from PIL import Image

    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (8, 8), "red").save(folder / name)
    (folder / "list.csv").write_text("path\n" + "".join(f"{folder / name}\n" for name in ("a.jpg", "b.jpg")))
    return {}, {"source": folder / "list.csv"}


def onnx(folder: Path) -> Made:
    """A convolution and a mean, as a file."""
    from .models.onnx_models import make_conv

    make_conv(folder / "model.onnx")
    return {"path": str(folder / "model.onnx")}, {}


def timm(folder: Path) -> Made:
    """A tiny vision transformer with random weights."""
    from .models.tiny_timm import make_tiny

    make_tiny("test_vit", folder)
    return {"model": str(folder)}, {}


def transformers(folder: Path) -> Made:
    """A tiny DINOv2 with random weights."""
    from .models.tiny_transformers import make_tiny

    make_tiny("dinov2", folder)
    return {"model": str(folder)}, {}


def vlm(folder: Path) -> Made:
    """A tiny LLaVA with random weights, asked for few words."""
    from .models.tiny_vlm import make_tiny_vlm

    return {"model": str(make_tiny_vlm(folder)), "max_tokens": 8, "longest_side": 96}, {}


def vllm(folder: Path) -> Made:
    """The same, where vLLM is installed: it has an environment of its own."""
    from importlib.util import find_spec

    import pytest

    if find_spec("vllm") is None:
        pytest.skip("vLLM is not installed here; `make test-vllm` checks it")
    return vlm(folder)


def prompt(folder: Path) -> Made:
    """A captioner to borrow that answers by a rule."""
    from .plugins.distil.talkers import Parrot

    return {}, {"makers": {"caption": Parrot()}}


def stability(folder: Path) -> Made:
    """A clusterer to run again."""
    from shoal_plugins.cluster.kmeans import Kmeans

    return {"runs": 2}, {"makers": {"cluster": Kmeans(k=3)}}


def openai(folder: Path) -> Made:
    """A server on loopback that tells mean colours; it ends with the process."""
    from .plugins.caption.endpoint import started

    return {"model": "painter", "url": started().url, "key_env": "", "longest_side": 64}, {}


CASES: dict[str, Callable[[Path], Made]] = {
    "caption.openai": openai,
    "caption.transformers": vlm,
    "caption.vllm": vllm,
    "distil.prompt": prompt,
    "embed.onnx": onnx,
    "embed.timm": timm,
    "embed.transformers": transformers,
    "evaluate.stability": stability,
    "index.table": manifest,
}
"""By `kind.name`: makes what is needed in a folder."""
