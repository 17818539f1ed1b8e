"""Makes torchvision importable beside a CPU-only PyTorch; timm and transformers import it, shoal itself does not use it."""

import warnings
from importlib import import_module
from importlib.util import find_spec

from shoal.errors import StageError

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept: list[object] = []


def mend_torchvision() -> None:
    """Import torchvision, and declare the two operators that it misses when its native part can't be loaded.

    The torchvision of PyPI is linked to CUDA. Beside a CPU-only PyTorch its native part does not load, and then its import
    fails because it describes operators that were never declared. Declared without code they do no harm: no embedder calls
    them.

    Raises:
        StageError: torchvision does not fit the installed PyTorch in another way.
    """
    if find_spec("torchvision") is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of the native part that did not load
        try:
            import_module("torchvision")
        except RuntimeError:
            _declare()


def _declare() -> None:
    import torch

    try:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in _OPERATORS:
            library.define(operator)
        _kept.append(library)  # the declaration ends with the object
        import_module("torchvision")
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise StageError(
            f"torchvision does not fit PyTorch {torch.__version__} ({reason}); install the pair that belongs together"
        ) from error
