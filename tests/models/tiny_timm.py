"""Makes tiny models of timm with random weights, saved as a folder, without a network."""

from pathlib import Path
from typing import Any

from shoal_plugins.embed._torchvision import mend_torchvision

SIZES = {"test_vit": 64, "test_resnet": 96, "test_convnext": 64, "test_efficientnet": 256}
"""timm's own test models (under half a million parameters) and the sizes of their vectors."""


def make_tiny(name: str, folder: Path, seed: int = 0) -> Any:
    """Save a tiny timm model with random weights into `folder` (config.json, model.safetensors) and return it.

    Args:
        name: one of `SIZES`.
        folder: where to save.
        seed: of the weights.
    """
    mend_torchvision()
    import timm
    import torch

    torch.manual_seed(seed)
    model = timm.create_model(name, pretrained=False, num_classes=10).eval()
    with torch.no_grad():  # the usual start gives vectors that hardly depend on the image
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.normal_(0, 0.1)
    timm.models.save_for_hf(model, folder, safe_serialization=True)
    return model
