"""Reads how a model of the hub wants its pixels from its preprocessor_config.json, without its processor's code.

The processors of transformers decode and resize each in their own way; shoal decodes once for all stages, so only their
configuration is taken: https://huggingface.co/docs/transformers/main_classes/image_processor.
"""

import re
from typing import Any, cast

from shoal.contract import Fit, ImageSpec, Resample
from shoal.errors import StageError
from shoal_plugins.embed._torch import Preparation, Triple

_FILTERS: dict[int, Resample] = {1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers
_HALF: Triple = (0.5, 0.5, 0.5)
_OPENAI = {"image_mean": (0.48145466, 0.4578275, 0.40821073), "image_std": (0.26862954, 0.26130258, 0.27577711)}
_CROPS = {"size": {"shortest_edge": 224}, "crop_size": 224, "do_center_crop": True, "resample": 3, **_OPENAI}
# What the processors' classes take where a configuration is silent; ViT's are the commonest.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "CLIP": _CROPS,
    "Bit": _CROPS,
    "ConvNext": {"size": {"shortest_edge": 384}, "crop_pct": 0.875, "resample": 3, "image_mean": _HALF, "image_std": _HALF},
    "Siglip": {"size": {"height": 224, "width": 224}, "resample": 3, "image_mean": _HALF, "image_std": _HALF},
}
_OTHERS = {"size": {"height": 224, "width": 224}, "resample": 2, "image_mean": _HALF, "image_std": _HALF}
_CONVNEXT_STRETCHES_FROM = 384  # pixels: smaller ones are scaled to size / crop_pct and cut


def read_preparation(config: dict[str, Any]) -> Preparation:
    """Return what a processor's configuration asks for.

    Args:
        config: content of preprocessor_config.json, or the part `image_processor` of processor_config.json.

    Raises:
        StageError: it asks for pixels of no fixed size.
    """
    config = config.get("image_processor", config)
    title = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    family = re.sub(r"(ImageProcessor|FeatureExtractor)(Fast|Pil)?$", "", title)
    given = {key: value for key, value in config.items() if value is not None}
    merged = {**_DEFAULTS.get(family, _OTHERS), **given}
    normal = merged.get("do_normalize", True)
    return Preparation(
        spec=_spec(merged, convnext="crop_pct" in merged),
        mean=_triple(merged["image_mean"]) if normal else (0.0, 0.0, 0.0),
        std=_triple(merged["image_std"]) if normal else (1.0, 1.0, 1.0),
        scale=float(merged.get("rescale_factor", 1 / 255)) if merged.get("do_rescale", True) else 1.0,
    )


def _spec(config: dict[str, Any], *, convnext: bool) -> ImageSpec:
    resample = _FILTERS.get(int(config["resample"]), "bilinear")
    crops = bool(config.get("do_center_crop", False)) and "crop_size" in config
    height, width, shortest = _sides(config["size"], shortest=crops or convnext)
    fit: Fit = "crop" if shortest else "stretch"
    overscan = 1.0
    if convnext and shortest:
        fit = "crop" if height < _CONVNEXT_STRETCHES_FROM else "stretch"
        overscan = int(height / float(config["crop_pct"])) / height if fit == "crop" else 1.0
    elif crops:
        scaled = min(height, width)
        height, width, _ = _sides(config["crop_size"], shortest=False)
        fit, overscan = "crop", max(scaled / min(height, width), 1.0)
    return ImageSpec(width, height, fit=fit, resample=resample, overscan=overscan)


def _sides(size: int | dict[str, int], *, shortest: bool) -> tuple[int, int, bool]:
    """Return height, width, and whether only the shorter side is meant."""
    if isinstance(size, int):
        return size, size, shortest
    if "height" in size and "width" in size:
        return size["height"], size["width"], False
    if "shortest_edge" in size:
        return size["shortest_edge"], size["shortest_edge"], True
    raise StageError(
        f"the model's processor asks for images of no fixed size ({size}); take a model with a fixed input size"
    )


def _triple(values: Any) -> Triple:
    return cast(
        Triple, tuple(float(value) for value in values) if isinstance(values, list | tuple) else (float(values),) * 3
    )
