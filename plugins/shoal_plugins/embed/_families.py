"""Model families of transformers: where the config states the vector's size, and which output is the image's vector."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from shoal.errors import StageError

Pooling = Literal["auto", "cls", "mean", "pooler", "projection"]

ALIASES = {
    "dinov2_vits14": "facebook/dinov2-small",
    "dinov2_vitb14": "facebook/dinov2-base",
    "dinov2_vitl14": "facebook/dinov2-large",
    "dinov2_vitg14": "facebook/dinov2-giant",
    "dinov2_vits14_reg": "facebook/dinov2-with-registers-small",
    "dinov2_vitb14_reg": "facebook/dinov2-with-registers-base",
    "dinov2_vitl14_reg": "facebook/dinov2-with-registers-large",
    "dinov2_vitg14_reg": "facebook/dinov2-with-registers-giant",
    "clip_vitb32": "openai/clip-vit-base-patch32",
    "clip_vitb16": "openai/clip-vit-base-patch16",
    "clip_vitl14": "openai/clip-vit-large-patch14",
    "clip_vitl14_336": "openai/clip-vit-large-patch14-336",
    "convnext_base": "facebook/convnext-base-224-22k",
    "convnext_large": "facebook/convnext-large-224-22k",
    "siglip_vitb16": "google/siglip-base-patch16-224",
    "siglip_vitl16_384": "google/siglip-large-patch16-384",
    "siglip2_vitb16": "google/siglip2-base-patch16-224",
    "siglip2_so400m": "google/siglip2-so400m-patch14-384",
}


@dataclass(frozen=True)
class Family:
    """What shoal knows of a family.

    Attributes:
        auto: the pooling that its authors use for an image's vector.
        poolings: those that it has.
        size: the config's key for the size of a vector, and what an absent key means.
        skip: tokens before those of the patches; None where there are no tokens but a feature map.
        model: class of transformers that loads the vision part.
        nested: whether the vision part's config lies under `vision_config`.
    """

    auto: Pooling
    poolings: tuple[Pooling, ...]
    size: tuple[str, int]
    skip: int | None = 1
    model: str = "AutoModel"
    nested: bool = False


_TOKENS: tuple[Pooling, ...] = ("cls", "mean", "pooler")
_MAP: tuple[Pooling, ...] = ("mean", "pooler")
_ALL: tuple[Pooling, ...] = ("cls", "mean", "pooler", "projection")
FAMILIES: dict[str, Family] = {
    "dinov2": Family("cls", _TOKENS, ("hidden_size", 768)),
    "dinov2_with_registers": Family("cls", _TOKENS, ("hidden_size", 768)),
    "dinov3_vit": Family("cls", _TOKENS, ("hidden_size", 384)),
    "vit": Family("cls", _TOKENS, ("hidden_size", 768)),
    "deit": Family("cls", _TOKENS, ("hidden_size", 768), skip=2),
    "convnext": Family("pooler", _MAP, ("hidden_sizes", 768), skip=None),
    "convnextv2": Family("pooler", _MAP, ("hidden_sizes", 768), skip=None),
    "resnet": Family("pooler", _MAP, ("hidden_sizes", 2048), skip=None),
    "clip": Family("projection", _ALL, ("hidden_size", 768), model="CLIPVisionModelWithProjection", nested=True),
    "clip_vision_model": Family("projection", _ALL, ("hidden_size", 768), model="CLIPVisionModelWithProjection"),
    "siglip": Family("pooler", _MAP, ("hidden_size", 768), skip=0, model="SiglipVisionModel", nested=True),
    "siglip_vision_model": Family("pooler", _MAP, ("hidden_size", 768), skip=0, model="SiglipVisionModel"),
}


def family_of(model: str, config: dict[str, Any]) -> Family:
    """Return the family that a config names.

    Raises:
        StageError: shoal does not know it.
    """
    kind = str(config.get("model_type"))
    if kind == "siglip2":
        raise StageError(
            f"{model!r} takes patches of images of any shape; take a SigLIP 2 of fixed size such as "
            "google/siglip2-base-patch16-224"
        )
    if kind not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise StageError(
            f"{model!r} is of the family {kind!r}, which embed.transformers does not know ({known}); try embed.timm"
        )
    return FAMILIES[kind]


def resolve(model: str, family: Family, pooling: Pooling) -> Pooling:
    """Return the pooling that `auto` means, or the one asked for.

    Raises:
        StageError: the family has no such output.
    """
    if pooling == "auto":
        return family.auto
    if pooling == "projection" and family.model == "SiglipVisionModel":
        return "pooler"  # SigLIP compares its pooled vectors with texts as they are
    if pooling not in family.poolings:
        raise StageError(f"{model!r} has no {pooling!r} output; set `pooling` to auto, {' or '.join(family.poolings)}")
    return pooling


def vector_size(family: Family, config: dict[str, Any], pooling: Pooling) -> int:
    """Return the number of components, from config.json alone; keys that it leaves out have their class's default."""
    if pooling == "projection":
        return int(config.get("projection_dim", 512))
    key, default = family.size
    value = (config.get("vision_config") or {} if family.nested else config).get(key, default)
    return int(value[-1] if isinstance(value, list) else value)


def forward(model: Any, family: Family, pooling: Pooling, registers: int) -> Callable[[Any], Any]:
    """Return the function from prepared pixels (n, 3, height, width) to vectors (n, size)."""
    # The class that projects CLIP's vectors hides the vectors before projection: its vision half shows them.
    part = model.vision_model if pooling != "projection" and family.auto == "projection" else model

    def vectors(pixels: Any) -> Any:
        output = part(pixel_values=pixels)
        if pooling == "projection":
            return output.image_embeds
        if pooling == "pooler":
            return output.pooler_output.flatten(1)
        hidden = output.last_hidden_state
        if family.skip is None:
            return hidden.mean((2, 3))
        return hidden[:, 0] if pooling == "cls" else hidden[:, family.skip + registers :].mean(1)

    return vectors
