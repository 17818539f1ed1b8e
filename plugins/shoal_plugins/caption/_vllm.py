"""The engine of `caption.vllm`: an `LLM` of vLLM, asked by its chat template, many questions at a time."""

import os
from collections.abc import Sequence
from typing import Any

from shoal.contract import Context
from shoal.errors import StageError
from shoal_plugins.caption._chat import each_alone, marks_of
from shoal_plugins.caption._memory import Engine, Question
from shoal_plugins.caption._models import Located
from shoal_plugins.caption._prompted import Answer
from shoal_plugins.embed._session import first_line

SEED = 0
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",  # it reports its use to its authors unless told otherwise
    "VLLM_LOGGING_LEVEL": "ERROR",  # its log is longer than a run's
    "HF_HUB_OFFLINE": "1",  # its files are here by now; the hub's client in its processes would ask again
}
ON_CPU = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else each worker's threads are bound to the same cores
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # a process of its own wins nothing where model and caller share the cores
    "VLLM_CPU_KVCACHE_SPACE": "4",  # GiB; its own choice is half of the machine's memory
}
IN_FLIGHT_ON_CPU = 16
_QUANTISED = {"fp8": "fp8", "int4": "bitsandbytes"}


class VllmEngine(Engine):
    """A vision-language model in vLLM.

    Args:
        located: its files.
        context: the worker's devices.
        dtype: what it computes with.
        quantisation: none, fp8, int8 or int4.
        gpus: over how many it is spread.
        share: of a GPU's memory.
        longest: tokens of a question with its answer; 0: what the model holds.
        eager: whether CUDA graphs are left out.
        allow_pickle: whether weights in PyTorch's own format may be read.

    Raises:
        StageError: it does not load here.
    """

    def __init__(
        self, located: Located, context: Context, *, dtype: str, quantisation: str, gpus: int, share: float, longest: int,
        eager: bool, allow_pickle: bool,
    ) -> None:  # fmt: skip
        """Load everything."""
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from shoal_plugins.embed._torchvision import mend_torchvision

        mend_torchvision()
        cpu = _on_cpu(context)
        options: dict[str, Any] = {
            "model": str(located.folder),
            "dtype": "float32" if dtype == "auto" and cpu else dtype,
            "quantization": _method(quantisation),
            "max_model_len": _length(located, longest),
            "enforce_eager": eager or cpu,
            "load_format": "auto" if allow_pickle else "safetensors",
            "limit_mm_per_prompt": {"image": 1},
            "trust_remote_code": False,
            "seed": SEED,
        }
        if cpu:
            options["max_num_seqs"] = IN_FLIGHT_ON_CPU
        else:
            options |= {"gpu_memory_utilization": share, "tensor_parallel_size": gpus}
        if gpus > 1 and not cpu:
            options["distributed_executor_backend"] = "mp"  # the worker has its GPUs; Ray need not place them again
        self.llm = _loaded(located, options)
        tokenizer = self.llm.get_tokenizer()
        self.marks = marks_of(tokenizer, *(getattr(tokenizer, f"{kind}_token", None) for kind in ("image", "video")))
        self.notes = self._facts(cpu, quantisation)

    def answer(self, questions: Sequence[Question], max_tokens: int) -> list[Answer]:
        """Return the model's answers, all questions in flight at once."""
        return each_alone(lambda some: self._chat(some, max_tokens), questions)

    def close(self) -> None:
        """End the engine and its processes, and with them the memory that they hold."""
        shut = getattr(getattr(self.llm.llm_engine, "engine_core", None), "shutdown", None)
        if shut is not None:
            shut()
        del self.llm

    def _chat(self, questions: Sequence[Question], max_tokens: int) -> list[Answer]:
        from vllm import SamplingParams
        from vllm.v1.engine.exceptions import EngineDeadError

        greedy = SamplingParams(temperature=0.0, seed=SEED, max_tokens=max_tokens)
        try:
            found = self.llm.chat([_said(question) for question in questions], greedy, use_tqdm=False)
        except EngineDeadError as error:
            raise StageError(
                f"vLLM's engine died ({first_line(error)}); run again with a smaller `gpu_memory_utilization` or "
                "`max_model_len`"
            ) from error
        return [answer.outputs[0].text for answer in found]

    def _facts(self, cpu: bool, quantisation: str) -> dict[str, Any]:
        import torch
        import vllm

        config = self.llm.llm_engine.model_config
        return {
            "backend": f"vllm {vllm.__version__}",
            "device": "cpu" if cpu else torch.cuda.get_device_name(),
            "dtype": str(config.dtype).removeprefix("torch."),
            "quantisation": quantisation,
            "max_model_len": config.max_model_len,
        }


def _said(question: Question) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = [{"type": "text", "text": question.text}]
    if question.image is not None:
        from PIL.Image import fromarray

        content.insert(0, {"type": "image_pil", "image_pil": fromarray(question.image)})
    return [{"role": "user", "content": content}]


def _on_cpu(context: Context) -> bool:
    """Tell whether this vLLM computes on the CPU.

    Raises:
        StageError: it can use GPUs only, and this worker was given none.
    """
    import importlib.metadata

    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        import torch

        for name, value in ON_CPU.items():
            os.environ.setdefault(name, value)
        torch.set_num_threads(max(context.threads, 1))
        return True
    if context.gpu:
        return False
    version = importlib.metadata.version("vllm")
    raise StageError(
        f"this vLLM ({version}) needs a GPU, and the worker was given none; run on Ray (`--on ray`) on a machine that has "
        "one, or take `--set caption=transformers:small` or `--set caption=tags`"
    )


def _method(quantisation: str) -> str | None:
    """Return what vLLM calls a quantisation.

    Raises:
        StageError: the installed vLLM has none such for weights that are stored whole.
    """
    if quantisation == "none":
        return None
    from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS

    method = _QUANTISED.get(quantisation, "")
    if method not in QUANTIZATION_METHODS:
        raise StageError(
            f"this vLLM can't cut weights to {quantisation} while they load; take a model that is stored so (AWQ, GPTQ) "
            "with `quantisation: none`, or `quantisation: fp8` on a GPU, or caption.transformers"
        )
    return method


def _length(located: Located, longest: int) -> int | None:
    """Return the limit for vLLM, which refuses one that is larger than what the model holds."""
    if not longest:
        return None
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(located.folder), local_files_only=True, trust_remote_code=False)
    holds = getattr(config.get_text_config(), "max_position_embeddings", None)
    return min(longest, int(holds)) if holds else longest


def _loaded(located: Located, options: dict[str, Any]) -> Any:
    """Return an `LLM`, or say in one sentence why there is none."""
    from vllm import LLM

    try:
        llm = LLM(**options)
    except Exception as error:  # vLLM, PyTorch and pydantic each raise their own
        text = _reason(error)
        if "memory" in text.lower():
            raise StageError(
                f"{located.name!r} does not fit here ({text}); take a smaller model, a smaller `max_model_len`, another "
                "`gpu_memory_utilization`, or a larger `tensor_parallel`"
            ) from error
        raise StageError(f"vLLM can't load {located.name!r} ({text}); see whether it has this family of models") from error
    if not llm.llm_engine.model_config.is_multimodal_model:
        raise StageError(f"vLLM reads no images with {located.name!r}; take a model such as Qwen/Qwen2-VL-2B-Instruct")
    return llm


def _reason(error: Exception) -> str:
    """Return what an error says, without the frame that pydantic puts around it."""
    lines = str(error).strip().splitlines()
    inner = next((line for line in lines if line.strip().startswith("Value error, ")), "")
    text = inner.strip().removeprefix("Value error, ").split(" [type=")[0] or first_line(error)
    return text.rstrip(". ")
