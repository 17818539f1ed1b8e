"""`embed.timm`: any image model of timm by its name."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import AfterValidator, Field

from shoal.contract import Context, ImageSpec, Stage
from shoal.errors import StageError
from shoal.hooks import hookimpl
from shoal_plugins.embed._files import absolute, file_hash
from shoal_plugins.embed._hub import hub_access, hub_error, need
from shoal_plugins.embed._session import first_line
from shoal_plugins.embed._torch import Preparation, Runner, TorchEmbedder

_HUB = ("hf-hub:", "hf_hub:")
_FILTERS = ("bilinear", "bicubic", "lanczos")


def _named(model: str) -> str:
    return absolute(model) if Path(model).expanduser().is_dir() else model


def _weights(weights: str) -> str:
    return weights if weights == "pretrained" else absolute(weights)


class Timm(TorchEmbedder):
    """Embeds images with any model of timm (more than a thousand: ViT, DINOv2, ConvNeXt, EVA, SigLIP, ResNet ...).

    The vector is what the model hands to its classifier; pixels are prepared as the model's own evaluation transform asks
    (a transform that distorts an image to more than the input and then cuts is taken without the cut). Weights come from
    the hub at first use and stay in its cache; a folder written by timm's `save_for_hf`, or a name with a local weights
    file, needs no network. Take it for the widest choice of models.

    Source: https://github.com/huggingface/pytorch-image-models. Needs `pip install 'shoal[timm]'`. On a CPU a row is the
    same bit for bit in every batch; on a GPU batches are padded to one size, and rows agree to rounding.
    """

    name: ClassVar[str] = "timm"
    shorthand: ClassVar[str | None] = "model"

    model: Annotated[str, AfterValidator(_named)] = Field(
        "vit_small_patch14_dinov2.lvd142m",
        min_length=1,
        description="Name of a model (`timm.list_models()`), `hf-hub:owner/name`, or a folder with config.json and weights.",
    )
    weights: Annotated[str, AfterValidator(_weights)] = Field(
        "pretrained",
        min_length=1,
        description="`pretrained`, or a local file of weights (safetensors, or a PyTorch state dict).",
    )
    image_size: int | None = Field(
        None,
        ge=16,
        le=4096,
        description="Side of the input in pixels; null takes the model's own (a DINOv2 of timm has 518).",
    )

    @property
    def image(self) -> ImageSpec:
        """The pixels that the model's own evaluation transform asks for."""
        return self._described()[1].spec

    @property
    def size(self) -> int:
        """Number of components, found without weights."""
        return self._described()[0]

    def identity(self) -> dict[str, Any]:
        """Return options, with the sha256 of local files in place of their paths."""
        identity = super().identity()
        options, hashes = dict(identity["options"]), {}
        if self.weights != "pretrained":
            options["weights"], hashes["weights"] = "file", file_hash(Path(self.weights))
        if Path(self.model).is_dir():
            options["model"] = "folder"
            hashes |= {path.name: file_hash(path) for path in sorted(Path(self.model).iterdir()) if path.is_file()}
        return {**identity, "options": options, **({"sha256": hashes} if hashes else {})}

    def setup(self, context: Context) -> None:
        """Load the weights and move them to the worker's device."""
        size, preparation = self._described()
        overlay = None if self.weights == "pretrained" else {"file": self.weights}
        local = overlay is not None or Path(self.model).is_dir()
        with hub_access(wanted=not local) as why:
            try:
                with _missing_weights() as missing:
                    model = _create(self.model, self.image_size, pretrained=True, overlay=overlay)
            except Exception as error:  # timm, the hub's client and PyTorch each raise their own
                raise self._load_error(error, why) from error
        random = sorted(missing & {name for name, _ in model.named_parameters()})
        if random:
            where = self.weights if overlay else self.model
            raise StageError(
                f"{where} has no weights for {random[0]}, which would be random; give the file that belongs to it"
            )
        context.note("model", f"{self.model} ({size} components)")
        self._runner = Runner(model, model, preparation=preparation, stage=self, context=context)

    def _described(self) -> tuple[int, Preparation]:
        need("timm", "timm", "torch")
        config = Path(self.model) / "config.json"
        return _describe(self.model, self.image_size, file_hash(config) if config.parent.is_dir() else "")

    def _load_error(self, error: Exception, why: str) -> StageError:
        if self.weights != "pretrained" or Path(self.model).is_dir():
            where = self.model if self.weights == "pretrained" else self.weights
            return StageError(
                f"{where} does not hold weights of this model ({first_line(error)}); give the file that belongs to it"
            )
        if "No pretrained weights exist" in str(error):
            return StageError(
                f"timm has no weights for {self.model!r}; take one of timm.list_pretrained(), or give `weights` a file"
            )
        return hub_error(self.model, error, why)


def _create(model: str, image_size: int | None, *, pretrained: bool, overlay: dict[str, str] | None = None) -> Any:
    from shoal_plugins.embed._torchvision import mend_torchvision

    mend_torchvision()
    import timm

    name = f"local-dir:{model}" if Path(model).is_dir() else model
    try:
        return timm.create_model(
            name, pretrained=pretrained, num_classes=0, pretrained_cfg_overlay=overlay, **_sized(image_size)
        )
    except TypeError as error:
        if image_size is None or "img_size" not in str(error):
            raise
        return timm.create_model(name, pretrained=pretrained, num_classes=0, pretrained_cfg_overlay=overlay)


@contextmanager
def _missing_weights() -> Iterator[set[str]]:
    """Collect the weights that a file lacks: timm leaves them random and logs it, as one may want for training."""
    from torch.nn import Module

    missing: set[str] = set()
    load = Module.load_state_dict

    def noted(self: Any, *arguments: Any, **options: Any) -> Any:
        result = load(self, *arguments, **options)
        missing.update(result.missing_keys)
        return result

    Module.load_state_dict = noted
    logger = logging.getLogger("timm.models._builder")
    level = logger.level
    logger.setLevel(logging.ERROR)  # its warnings of the classifier that is left out help no user
    try:
        yield missing
    finally:
        Module.load_state_dict = load
        logger.setLevel(level)


def _sized(image_size: int | None) -> dict[str, int]:
    return {} if image_size is None else {"img_size": image_size}


@lru_cache(maxsize=16)
def _describe(model: str, image_size: int | None, _config: str) -> tuple[int, Preparation]:
    """Return vector size and preparation, from a model without memory behind its weights (PyTorch's meta device)."""
    import torch

    with hub_access(wanted=model.startswith(_HUB)) as why:
        try:
            with torch.device("meta"):
                shell = _create(model, image_size, pretrained=False).eval()
        except Exception as error:  # an unknown name, or a hub that has no config for it
            raise _name_error(model, error, why) from error
    from timm.data import resolve_model_data_config

    data = resolve_model_data_config(shell)
    _, height, width = data["input_size"] if image_size is None else (3, image_size, image_size)
    with torch.device("meta"), torch.inference_mode():
        size = int(shell(torch.zeros(1, 3, height, width)).shape[-1])
    resample = data["interpolation"] if data["interpolation"] in _FILTERS else "bilinear"
    stretched = data.get("crop_mode") == "squash"
    spec = ImageSpec(
        width,
        height,
        fit="stretch" if stretched else "crop",
        resample=cast(Literal["bilinear", "bicubic", "lanczos"], resample),
        overscan=1.0 if stretched else int(min(height, width) / data["crop_pct"]) / min(height, width),  # whole pixels
    )
    return size, Preparation(spec, tuple(data["mean"]), tuple(data["std"]))


def _name_error(model: str, error: Exception, why: str) -> StageError:
    if model.startswith(_HUB):
        return hub_error(model, error, why)
    import timm

    base, _, _tag = model.partition(".")
    if Path(model).is_dir() or timm.is_model(base):
        return StageError(f"timm can't build {model!r}: {first_line(error)}")
    from difflib import get_close_matches

    near = get_close_matches(base, timm.list_models(), n=1)
    if "/" in model:
        return StageError(
            f"{model!r} is neither a folder here nor a name of timm; a model on the hub is written hf-hub:owner/name"
        )
    hint = f"did you mean {near[0]!r}?" if near else "`timm.list_models()` has all names"
    return StageError(f"timm has no model {model!r}; {hint}")


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Timm,)
