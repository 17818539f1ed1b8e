"""`embed.transformers`: DINOv2, CLIP, SigLIP, ConvNeXt, ResNet and ViT by alias, hub id or folder."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from shoal.contract import Context, ImageSpec, Stage
from shoal.errors import StageError
from shoal.hooks import hookimpl
from shoal_plugins.embed._families import ALIASES, Family, Pooling, family_of, forward, resolve, vector_size
from shoal_plugins.embed._files import absolute, file_hash
from shoal_plugins.embed._hub import commit_of, hub_access, hub_error, need, quiet_transformers, read_json
from shoal_plugins.embed._processor import read_preparation
from shoal_plugins.embed._session import first_line
from shoal_plugins.embed._torch import Preparation, Runner, TorchEmbedder

_WEIGHTS = (".safetensors", ".bin")


def _named(model: str) -> str:
    return absolute(model) if Path(model).expanduser().is_dir() else ALIASES.get(model, model)


class Transformers(TorchEmbedder):
    """Embeds images with a vision model of the Hugging Face hub, or of a folder in its format.

    Families: DINOv2 with and without registers, DINOv3, CLIP, SigLIP (and SigLIP 2 of fixed size), ConvNeXt (V2), ResNet,
    ViT and DeiT. Aliases: `dinov2_vits14`, `dinov2_vitb14`, `dinov2_vitl14`, `dinov2_vitg14` (each also with `_reg`),
    `clip_vitb32`, `clip_vitb16`, `clip_vitl14`, `clip_vitl14_336`, `convnext_base`, `convnext_large`, `siglip_vitb16`,
    `siglip_vitl16_384`, `siglip2_vitb16`, `siglip2_so400m`. Pixels are prepared as the model's own processor is configured;
    no code of a model is ever run (`trust_remote_code` stays off). Take DINOv2 for looks and fine differences, CLIP or
    SigLIP for meaning and to compare with texts.

    Source: https://huggingface.co/docs/transformers; Oquab et al. 2023 (DINOv2), Radford et al. 2021 (CLIP), Zhai et al.
    2023 (SigLIP). Needs `pip install 'shoal[transformers]'`. On a CPU a row is the same bit for bit in every batch; on a
    GPU batches are padded to one size, and rows agree to rounding.
    """

    name: ClassVar[str] = "transformers"
    shorthand: ClassVar[str | None] = "model"

    model: Annotated[str, AfterValidator(_named)] = Field(
        "dinov2_vitl14",
        min_length=1,
        description="An alias, `owner/name` on the hub, or a folder written by save_pretrained.",
    )
    revision: str = Field(
        "main", min_length=1, description="Branch, tag or commit on the hub; name a commit for rows that can be made again."
    )
    pooling: Pooling = Field(
        "auto",
        description="The vector: `cls` is the first token (DINOv2, ViT), `pooler` the model's own pooled output (SigLIP, "
        "ConvNeXt, ResNet), `projection` the space shared with texts (CLIP), `mean` the average of the patches; `auto` is "
        "the one that names the family in brackets.",
    )
    allow_pickle: bool = Field(
        False,
        description="Whether weights in PyTorch's own format may be read (weights_only) where there are no safetensors.",
    )

    @property
    def image(self) -> ImageSpec:
        """The pixels that the model's own processor is configured for."""
        return self._preparation().spec

    @property
    def size(self) -> int:
        """Number of components, read from config.json."""
        config, family, pooling = self._described()
        return vector_size(family, config, pooling)

    def identity(self) -> dict[str, Any]:
        """Return options; for a folder, the sha256 of its configuration and weights in place of its path."""
        identity = super().identity()
        folder = Path(self.model)
        if not folder.is_dir():
            return identity
        kept = [path for path in sorted(folder.iterdir()) if path.suffix in _WEIGHTS or path.name.endswith("config.json")]
        options = {**identity["options"], "model": "folder"}
        return {**identity, "options": options, "sha256": {path.name: file_hash(path) for path in kept}}

    def setup(self, context: Context) -> None:
        """Load the weights and move them to the worker's device."""
        need("transformers", "transformers", "torch")
        config, family, pooling = self._described()
        preparation = self._preparation()
        model = self._load(family, pooling)
        context.note("model", f"{self.model} ({pooling}, {self.size} components)")
        context.note("commit", commit_of(self.model, self.revision))
        vectors = forward(model, family, pooling, int(config.get("num_register_tokens", 0)) if family.skip else 0)
        self._runner = Runner(model, vectors, preparation=preparation, stage=self, context=context)

    def _described(self) -> tuple[dict[str, Any], Family, Pooling]:
        need("transformers", "huggingface_hub")
        config = read_json(self.model, self.revision, "config.json")
        family = family_of(self.model, config)
        return config, family, resolve(self.model, family, self.pooling)

    def _preparation(self) -> Preparation:
        need("transformers", "huggingface_hub")
        return read_preparation(read_json(self.model, self.revision, "preprocessor_config.json", "processor_config.json"))

    def _load(self, family: Family, pooling: Pooling) -> Any:
        from shoal_plugins.embed._torchvision import mend_torchvision

        mend_torchvision()
        folder = Path(self.model).is_dir()
        with hub_access(wanted=not folder) as why, quiet_transformers():
            try:
                model, info = self._from_pretrained(family, local=folder or bool(why))
            except Exception as error:  # transformers, the hub's client and safetensors each raise their own
                raise self._load_error(error, why, folder) from error
        missing = sorted(key for key in info["missing_keys"] if pooling == "pooler" or "pooler" not in key)
        if missing:
            raise StageError(f"{self.model!r} has no weights for {missing[0]}, which would be random; set another `pooling`")
        return model

    def _from_pretrained(self, family: Family, *, local: bool) -> tuple[Any, dict[str, Any]]:
        import torch
        import transformers

        config = transformers.AutoConfig.from_pretrained(
            self.model, revision=self.revision, local_files_only=local, trust_remote_code=False
        )
        if family.nested:
            # The vision half alone; its own config may state another projection than the whole model's, which counts.
            vision = config.vision_config
            if hasattr(config, "projection_dim"):
                vision.projection_dim = config.projection_dim
            config = vision
        model, info = getattr(transformers, family.model).from_pretrained(
            self.model,
            config=config,
            revision=self.revision,
            dtype=torch.float32,
            use_safetensors=None if self.allow_pickle else True,
            trust_remote_code=False,
            local_files_only=local,
            output_loading_info=True,
        )
        return model, info

    def _load_error(self, error: Exception, why: str, folder: bool) -> StageError:
        if "safetensors" in str(error) and not self.allow_pickle:
            return StageError(
                f"{self.model!r} has no weights as safetensors ({first_line(error)}); take a model that has, or set "
                "`allow_pickle: on`"
            )
        if folder:
            return StageError(f"{self.model} does not hold weights that fit its config.json: {first_line(error)}")
        return hub_error(self.model, error, why)


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Transformers,)
