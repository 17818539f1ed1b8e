"""The engine of `caption.transformers`: processor, weights and greedy decoding in PyTorch."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from shoal.contract import Context
from shoal.errors import StageError
from shoal_plugins.caption._chat import each_alone, marks_of
from shoal_plugins.caption._memory import Engine, Question
from shoal_plugins.caption._models import Located
from shoal_plugins.caption._prompted import Answer, in_halves
from shoal_plugins.embed._hub import quiet_transformers
from shoal_plugins.embed._session import first_line
from shoal_plugins.embed._torch import device_of


class TorchEngine(Engine):
    """A vision-language model of transformers on one device, or spread over several GPUs.

    Args:
        located: its files.
        context: the worker's devices, threads and notes.
        dtype: what it computes with.
        quantisation: none, int8 or int4.
        gpus: over how many it is spread.
        allow_pickle: whether weights in PyTorch's own format may be read.

    Raises:
        StageError: it does not load here.
    """

    def __init__(
        self, located: Located, context: Context, *, dtype: str, quantisation: str, gpus: int, allow_pickle: bool
    ) -> None:
        """Load everything."""
        from shoal_plugins.embed._torchvision import mend_torchvision

        mend_torchvision()
        import torch
        import transformers

        self.notes = {}
        self.name = located.name
        self.device = device_of(context)
        self.dtype = _dtype(dtype, self.device)
        if self.device == "cpu":
            torch.set_num_threads(max(context.threads, 1))
        with quiet_transformers():
            self.processor = _processor(located)
            self.model = self._load(located, quantisation, gpus, allow_pickle)
        self.tokenizer = self.processor.tokenizer
        self.tokenizer.padding_side = "left"
        tokens = [getattr(self.processor, f"{kind}_token", None) for kind in ("image", "video", "boi", "eoi")]
        self.marks = marks_of(self.tokenizer, *tokens)
        self.longest = int(getattr(self.model.config.get_text_config(), "max_position_embeddings", 0) or 0)
        self._plain_greedy(transformers)
        self.chunk = 1 if self.device == "cpu" else 10**6  # a caption that depends on no other; or the step's batch
        self.notes |= {
            "backend": f"transformers {transformers.__version__}, torch {torch.__version__}",
            "device": torch.cuda.get_device_name() if self.device == "cuda" else "cpu",
            "dtype": str(self.dtype).removeprefix("torch."),
            "quantisation": quantisation,
        }

    def answer(self, questions: Sequence[Question], max_tokens: int) -> list[Answer]:
        """Return the model's answers: on a CPU one by one, on a GPU in batches that fit it."""

        def some(part: Sequence[Question]) -> list[Answer]:
            return each_alone(lambda few: in_halves(lambda fewer: self._decode(fewer, max_tokens), few, self._full), part)

        answers: list[Answer] = []
        while len(answers) < len(questions):
            answers += some(questions[len(answers) : len(answers) + self.chunk])
        return answers

    def close(self) -> None:
        """Let go of the weights."""
        self.model = self.processor = self.tokenizer = None

    def _decode(self, questions: Sequence[Question], max_tokens: int) -> list[Answer]:
        import torch
        from PIL import Image

        images = [Image.fromarray(question.image) for question in questions if question.image is not None]
        asked: dict[str, Any] = {"images": images} if images else {}
        inputs = self.processor(
            text=[self._chat(question) for question in questions], **asked, return_tensors="pt", padding=True
        ).to(self.model.device, dtype=self.dtype)
        length = inputs["input_ids"].shape[1]
        if self.longest and length >= self.longest:
            raise ValueError(f"the question has {length} tokens, and the model holds {self.longest} with its answer")
        left = self.longest - length if self.longest else max_tokens
        self._tried = len(questions)
        with torch.inference_mode(), quiet_transformers():
            tokens = self.model.generate(**inputs, max_new_tokens=min(max_tokens, left))
        return list(self.tokenizer.batch_decode(tokens[:, length:], skip_special_tokens=True))

    def _chat(self, question: Question) -> str:
        content: list[dict[str, str]] = [{"type": "text", "text": question.text}]
        if question.image is not None:
            content.insert(0, {"type": "image"})
        said = [{"role": "user", "content": content}]
        return str(self.processor.apply_chat_template(said, add_generation_prompt=True, tokenize=False))

    def _full(self, error: Exception) -> bool:
        """Tell whether an error means that the device is full; if so, take smaller batches from now on."""
        import torch

        if not isinstance(error, torch.OutOfMemoryError):
            return False
        self.chunk = max(1, self._tried // 2)
        self.notes["batch"] = self.chunk
        if self.device == "cuda":
            torch.cuda.empty_cache()
        return True

    def _load(self, located: Located, quantisation: str, gpus: int, allow_pickle: bool) -> Any:
        from transformers import AutoConfig, AutoModelForImageTextToText

        folder = str(located.folder)
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            config = AutoConfig.from_pretrained(folder, **options)
            if type(config) not in AutoModelForImageTextToText._model_mapping:
                raise StageError(
                    f"{located.name!r} is of the family {config.model_type!r}, which is no vision-language model that this "
                    "transformers captions with; take one such as Qwen/Qwen2-VL-2B-Instruct, or try caption.vllm"
                )
            options |= {"dtype": self.dtype, "use_safetensors": None if allow_pickle else True, **self._spread(gpus)}
            options |= _quantised(quantisation, self.dtype, self.device)
            model = self._with_attention(folder, options)
        except StageError:
            raise
        except Exception as error:  # transformers, safetensors and PyTorch each raise their own
            raise _load_error(located, error) from error
        model.eval().requires_grad_(False)
        return model if "device_map" in options else model.to(self.device)

    def _with_attention(self, folder: str, options: dict[str, Any]) -> Any:
        """Load the model with FlashAttention where it is installed and the model takes it, else with PyTorch's own."""
        from transformers.utils import is_flash_attn_2_available

        if self.device == "cuda" and self.dtype.itemsize == 2 and is_flash_attn_2_available():
            try:
                model = self._whole(folder, {**options, "attn_implementation": "flash_attention_2"})
            except (ValueError, ImportError) as error:
                self.notes["attention_reason"] = f"the model does not take FlashAttention: {first_line(error)}"
            else:
                self.notes["attention"] = "flash_attention_2"
                return model
        model = self._whole(folder, options)
        self.notes["attention"] = str(getattr(model.config, "_attn_implementation", "eager"))
        return model

    @staticmethod
    def _whole(folder: str, options: dict[str, Any]) -> Any:
        """Load a model of which every weight is in its files.

        Raises:
            StageError: some would be random.
        """
        from transformers import AutoModelForImageTextToText

        model, info = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True, **options)
        missing = sorted(info["missing_keys"])
        if missing:
            raise StageError(f"{folder} has no weights for {missing[0]}, which would be random; copy all files of the model")
        return model

    def _spread(self, gpus: int) -> dict[str, Any]:
        if gpus == 1 or self.device == "cpu":
            return {}
        need_accelerate("`tensor_parallel`")
        return {"device_map": "auto"}

    def _plain_greedy(self, transformers: Any) -> None:
        """Decode greedily with nothing of the model's own habits (penalties, sampling): other engines then say the same."""
        own = self.model.generation_config
        ends = own.eos_token_id if own.eos_token_id is not None else self.tokenizer.eos_token_id
        first = ends[0] if isinstance(ends, list) else ends
        pad = next((token for token in (own.pad_token_id, self.tokenizer.pad_token_id, first) if token is not None), None)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.model.generation_config = transformers.GenerationConfig(
            do_sample=False, bos_token_id=own.bos_token_id, eos_token_id=ends, pad_token_id=pad
        )


def need_accelerate(what: str) -> None:
    """Check that the package is there which places weights while they load.

    Raises:
        StageError: it is not.
    """
    if find_spec("accelerate") is None:
        raise StageError(f"{what} needs the package accelerate, not installed here: pip install accelerate")


def _dtype(name: str, device: str) -> Any:
    import torch

    if name != "auto":
        return getattr(torch, name)
    if device == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _quantised(quantisation: str, dtype: Any, device: str) -> dict[str, Any]:
    """Return what from_pretrained is told, so that weights are cut while they load.

    Raises:
        StageError: bitsandbytes is not installed.
    """
    if quantisation == "none":
        return {}
    if find_spec("bitsandbytes") is None:
        raise StageError(
            f"`quantisation: {quantisation}` needs the package bitsandbytes, not installed here: pip install bitsandbytes, "
            "or take a model that is stored so, with `quantisation: none`"
        )
    need_accelerate("`quantisation`")
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_8bit=quantisation == "int8",
        load_in_4bit=quantisation == "int4",
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_type="nf4",
    )
    return {"quantization_config": config, "device_map": {"": device}}


def _processor(located: Located) -> Any:
    """Return a model's own processor.

    Raises:
        StageError: its files are broken, or it makes no pixels or no words.
    """
    from transformers import AutoProcessor

    try:
        found = AutoProcessor.from_pretrained(str(located.folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers and tokenizers each raise their own
        if "torchvision" in str(error).lower():
            raise StageError(
                f"the processor of {located.name!r} needs torchvision: pip install 'shoal[transformers]'"
            ) from error
        raise StageError(
            f"the processor of {located.name!r} can't be loaded ({first_line(error)}); save all of it into the folder with "
            "AutoProcessor.from_pretrained(ORIGINAL).save_pretrained(FOLDER)"
        ) from error
    for part in ("tokenizer", "image_processor"):
        if getattr(found, part, None) is None:
            raise StageError(
                f"{located.name!r} has a processor without {part}; save all of it into the folder with "
                "AutoProcessor.from_pretrained(ORIGINAL).save_pretrained(FOLDER)"
            )
    return found


def _load_error(located: Located, error: Exception) -> StageError:
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return StageError(
            f"{located.name!r} does not fit the GPU's memory; take a smaller model, `quantisation: int4`, or a larger "
            "`tensor_parallel`"
        )
    return StageError(f"{located.folder} does not hold weights that fit its config.json: {first_line(error)}")
