"""Makes tiny models of real architectures with random weights, in the format of save_pretrained, without a network."""

from pathlib import Path
from typing import Any

from shoal_plugins.embed._torchvision import mend_torchvision

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def _model(name: str) -> Any:
    import transformers as t

    tokens = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
    tower = {**tokens, "intermediate_size": 96}
    text = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    dino = {**tokens, "mlp_ratio": 2, "image_size": 56, "patch_size": 14}
    ends = {"bos_token_id": 97, "eos_token_id": 98, "pad_token_id": 98}
    makers = {
        "dinov2": lambda: t.Dinov2Model(t.Dinov2Config(**dino)),
        "dinov2_reg": lambda: t.Dinov2WithRegistersModel(t.Dinov2WithRegistersConfig(num_register_tokens=4, **dino)),
        "vit": lambda: t.ViTModel(t.ViTConfig(**tower, image_size=48, patch_size=8)),
        "vit_classifier": lambda: t.ViTForImageClassification(
            t.ViTConfig(**tower, image_size=48, patch_size=8, num_labels=5)
        ),
        "clip": lambda: t.CLIPModel(
            t.CLIPConfig(
                text_config={**text, **ends}, vision_config={**tower, "image_size": 32, "patch_size": 8}, projection_dim=24
            )
        ),
        "siglip": lambda: t.SiglipModel(
            t.SiglipConfig(text_config=text, vision_config={**tower, "image_size": 32, "patch_size": 8})
        ),
        "convnext": lambda: t.ConvNextModel(t.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1])),
        "convnextv2": lambda: t.ConvNextV2Model(t.ConvNextV2Config(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1])),
        "resnet": lambda: t.ResNetModel(
            t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic")
        ),
    }
    return makers[name]()


def _processor(name: str) -> Any:
    import transformers as t

    square, cut = {"height": 48, "width": 48}, {"height": 56, "width": 56}
    makers = {
        "dinov2": lambda: t.BitImageProcessorPil(size={"shortest_edge": 64}, crop_size=cut, **IMAGENET),
        "vit": lambda: t.ViTImageProcessorPil(size=square),
        "clip": lambda: t.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        "siglip": lambda: t.SiglipImageProcessorPil(size={"height": 32, "width": 32}),
        "convnext": lambda: t.ConvNextImageProcessorPil(size={"shortest_edge": 64}, crop_pct=0.875, **IMAGENET),
        "convnextv2": lambda: t.ConvNextImageProcessorPil(size={"shortest_edge": 384}, **IMAGENET),
    }
    kinds = {"dinov2_reg": "dinov2", "vit_classifier": "vit", "resnet": "convnext"}
    return makers[kinds.get(name, name)]()


def make_tiny(name: str, folder: Path, seed: int = 0) -> tuple[Any, Any]:
    """Save a tiny model and its image processor into `folder` and return both.

    Args:
        name: dinov2, dinov2_reg, vit, vit_classifier, clip, siglip, convnext, convnextv2 or resnet.
        folder: where to save.
        seed: of the weights.
    """
    mend_torchvision()
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(seed)
    model, processor = _model(name).eval(), _processor(name)
    with torch.no_grad():  # the usual start (std 0.02) gives vectors that hardly depend on the image
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.normal_(0, 0.15)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor
