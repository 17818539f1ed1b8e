"""`caption.transformers`: a vision-language model of the Hugging Face hub, in PyTorch, on any machine."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from shoal.contract import Context, Resources, Stage
from shoal.hooks import hookimpl
from shoal_plugins.caption._local import LocalCaptioner
from shoal_plugins.caption._models import Located
from shoal_plugins.embed._hub import need

if TYPE_CHECKING:
    from shoal_plugins.caption._memory import Engine


class Transformers(LocalCaptioner):
    """Captions images with a vision-language model in PyTorch: slower than `caption.vllm`, and at home everywhere.

    Any model of the kind image-text-to-text that transformers knows (Qwen2-VL and 2.5, LLaVA, InternVL, SmolVLM, Gemma 3,
    ...), with its own processor and chat template; no code of a model is ever run (`trust_remote_code` stays off). Decoding
    is greedy: the same image, model and prompt give the same caption. On a CPU images go one at a time, and a caption is
    the same in every batch; on a GPU batches are padded on the left, and a caption agrees with that of another batch up to
    rounding. A batch that is too large for the GPU is halved until it fits, and the size that fits is kept. FlashAttention
    is used on a GPU where it is installed; the record says so.

    Each worker holds the model: on a machine without a GPU say `run: {actors: 1, cpus: 8}` in the step, so that one worker
    has all cores. Models of the Qwen family need torchvision for their processor.

    Source: https://huggingface.co/docs/transformers; Wang et al. 2024 (Qwen2-VL), Liu et al. 2023 (LLaVA), Dettmers et al.
    2022 and 2023 (int8, int4). Needs `pip install 'shoal[transformers]'`.
    """

    name: ClassVar[str] = "transformers"
    resources: ClassVar[Resources] = Resources(cpus=1.0, gpus=1.0, batch=16)
    loads: ClassVar[tuple[str, ...]] = ("quantisation",)

    quantisation: Literal["none", "int8", "int4"] = Field(
        "none",
        description="Whether bitsandbytes cuts weights to 8 or 4 bits (nf4) while they load: less memory, other words.",
    )

    def check_installed(self) -> None:
        """Check that transformers and PyTorch are there."""
        need("transformers", "transformers", "torch", stage=self.title())

    def open_engine(self, located: Located, context: Context) -> "Engine":
        """Load processor and weights."""
        from shoal_plugins.caption._torch import TorchEngine

        options: dict[str, Any] = {"dtype": self.dtype, "quantisation": self.quantisation, "gpus": self.tensor_parallel}
        return TorchEngine(located, context, allow_pickle=self.allow_pickle, **options)


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Transformers,)
