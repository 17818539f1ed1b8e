"""`caption.vllm`: a vision-language model held by vLLM, with many images in flight."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from shoal.contract import Context, Resources, Stage
from shoal.errors import StageError
from shoal.hooks import hookimpl
from shoal_plugins.caption._local import LocalCaptioner
from shoal_plugins.caption._models import Located

if TYPE_CHECKING:
    from shoal_plugins.caption._memory import Engine


class Vllm(LocalCaptioner):
    """Captions images with a vision-language model held by vLLM: the fastest way on a GPU, with many images in flight.

    Any vision-language model that vLLM knows (Qwen2-VL and 2.5, LLaVA, InternVL, Gemma 3, Pixtral, ...), with its own
    processor and chat template; no code of a model is ever run (`trust_remote_code` stays off). Decoding is greedy with a
    fixed seed. vLLM puts together what it has at hand, so on a GPU a caption agrees with that of another batch up to
    rounding. A worker holds one engine on as many GPUs as `tensor_parallel` says; Ray gives it those.

    On a machine without a GPU take `--set caption=transformers:small`, an endpoint by `--set caption=openai:MODEL`, or
    `--set caption=tags`; a vLLM that was built for CPUs works too.

    Source: https://docs.vllm.ai; Kwon et al. 2023. Needs `pip install 'shoal[vlm]'`.
    """

    name: ClassVar[str] = "vllm"
    resources: ClassVar[Resources] = Resources(cpus=1.0, gpus=1.0, batch=256)
    aside: ClassVar[tuple[str, ...]] = ("tensor_parallel", "allow_pickle", "gpu_memory_utilization", "enforce_eager")
    loads: ClassVar[tuple[str, ...]] = ("quantisation", "gpu_memory_utilization", "max_model_len", "enforce_eager")

    quantisation: Literal["none", "fp8", "int8", "int4"] = Field(
        "none",
        description="Whether weights are cut to 8 or 4 bits while they load, as far as the installed vLLM can; a model that "
        "is stored so (AWQ, GPTQ) takes `none`.",
    )
    gpu_memory_utilization: float = Field(
        0.9, gt=0, le=1, description="Share of the GPU's memory that vLLM takes for weights and for the images in flight."
    )
    max_model_len: int = Field(
        4096,
        ge=0,
        description="Tokens that a question and its answer may have together; 0 is what the model holds, which for some is "
        "more than a GPU has room for.",
    )
    enforce_eager: bool = Field(False, description="Whether CUDA graphs are left out: starts sooner, then captions slower.")

    def check_installed(self) -> None:
        """Check that vLLM is there.

        Raises:
            StageError: it is not; the message says what else captions.
        """
        if find_spec("vllm") is None:
            raise StageError(
                "caption.vllm needs vllm, not installed here: pip install 'shoal[vlm]' on a machine with a GPU, or take "
                "`--set caption=transformers:small` (PyTorch), `--set caption=openai:MODEL` (an endpoint) or "
                "`--set caption=tags` (no language model)"
            )

    def open_engine(self, located: Located, context: Context) -> "Engine":
        """Load the model into a vLLM."""
        from shoal_plugins.caption._vllm import VllmEngine

        return VllmEngine(
            located, context, dtype=self.dtype, quantisation=self.quantisation, gpus=self.tensor_parallel,
            share=self.gpu_memory_utilization, longest=self.max_model_len, eager=self.enforce_eager,
            allow_pickle=self.allow_pickle,
        )  # fmt: skip


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Vllm,)
