"""Lets the torchvision of PyPI be imported beside a PyTorch for CPUs, in every process of a virtual environment.

That torchvision is linked to CUDA; its native part does not load, and its import then fails over two operators that nobody
declared. shoal declares them before it imports torchvision, but vLLM looks at a model's code in processes of its own, where
no code of shoal runs: `make test-vllm` puts this file into the environment's site-packages with a .pth file that imports it.
The operators get no code: what captions images never calls them.
"""

import sys
from importlib.abc import MetaPathFinder

_kept: list[object] = []


class _BeforeTorchvision(MetaPathFinder):
    """Finds nothing; declares the operators when torchvision is looked for, once."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            _declare()


def _declare() -> None:
    import torch

    if torch.version.cuda is not None or torch.version.hip is not None:
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)  # the declaration ends with the object


sys.meta_path.insert(0, _BeforeTorchvision())
