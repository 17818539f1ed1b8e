"""The options of the workflow `semantic-cluster` about words: captions, keywords, labels, rescue."""

import re
from math import isqrt
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from shoal.migrating.reads import boolean, choice, number, secret, span, text, whole
from shoal.migrating.table import MOOT, Effect, Old, Row, sets

KEY_VARIABLE = "OPENAI_API_KEY"
LONGEST = 16_384
"""A larger number of pixels is that of a whole picture, not of a side."""

CAPTION_PROMPT = (
    "Describe the main subject, action, lighting, and viewpoint of this image in detail (around {caption_length} words)."
)


def _skipped(old: Old) -> str:
    return "captions are skipped (scale: skip)" if old.get("vlm.scale") == "skip" else ""


def _endpoint(old: Old) -> bool:
    return old.get("vlm.source") == "endpoint" or old.given("vlm.endpoint_address") or old.get("vlm.engine") == "openai"


def _no_endpoint(old: Old) -> str:
    return _skipped(old) or ("" if _endpoint(old) else "no endpoint is asked (source)")


def _scale(scale: str, old: Old) -> Effect:
    if scale == "skip":
        return Effect(("caption=skip",))
    if old.given("vlm.model_id"):
        return Effect(told="no effect, because a model is named beside it")
    if _endpoint(old):
        raise ValueError("names no model of an endpoint; add `model:` with the name that the endpoint knows")
    return sets("caption.model", scale)


def _source(source: str, old: Old) -> Effect:
    if source == "endpoint":
        return Effect(("caption=openai",))
    if source == "local":
        return Effect(told="a model that is a folder is read from it, so nothing else is set")
    return Effect((f"caption.source={source}",)) if source != "huggingface" or old.given("vlm.source") else Effect()


def _engine(engine: str, _: Old) -> Effect:
    return Effect((f"caption={engine}",))


def _key(variable: str, _: Old) -> Effect:
    name = variable or KEY_VARIABLE
    return Effect(
        (f"caption.key_env={name}",),
        told=f"a key is never copied; put it into the environment variable {name} before `shoal run`",
    )


def _address(address: str, _: Old) -> Effect:
    parts = urlsplit(address)
    if "@" not in parts.netloc:
        return Effect(("caption=openai", *sets("caption.url", address).overrides))
    bare = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return Effect(
        ("caption=openai", *sets("caption.url", bare).overrides),
        told=f"name and password of the address are not copied; shoal sends the key of the variable {KEY_VARIABLE}",
    )


def _batch(batch: int, old: Old) -> Effect:
    return sets("caption.concurrency" if _endpoint(old) else "caption.run.batch", batch)


def _side(side: int, _: Old) -> Effect:
    if side <= LONGEST:
        return sets("caption.longest_side", side)
    return Effect(
        sets("caption.longest_side", isqrt(side)).overrides,
        told=f"{side} is read as the pixels of a whole picture, so the longest side becomes {isqrt(side)}",
    )


def _mode(mode: str, _: Old) -> Effect:
    return Effect(("caption.only=all" if mode == "all" else 'caption.only=["sample", "noise"]',))


def _words(length: tuple[int, int], _: Old) -> Effect:
    return Effect((f"label.min_words={length[0]}", f"label.max_words={length[1]}"))


def _least(least: int, old: Old) -> Effect:
    most = old.get("language.label_max_words") or max(least, old.get("language.label_length")[1])
    return _words((least, most), old)


def _most(most: int, old: Old) -> Effect:
    least = old.get("language.label_min_words") or min(most, old.get("language.label_length")[0])
    return _words((least, most), old)


def _off(flag: str) -> Any:
    return lambda on, old: Effect(flags=() if on else (("export", flag, None),))


def _model(value: Any) -> str:
    """Return a model's id, folder or alias; names of the two sizes are aliases."""
    said = text(value)
    sizes = {"2b": "small", "7b": "large"}
    found = re.fullmatch(r"qwen2-?vl-?(2b|7b)", said.lower())
    return sizes[found[1]] if found else said


VLM = (
    Row("vlm", "scale", choice("small", "large", "skip", none="skip", off="skip"), ("caption.model", "caption"), "small",
        keys=("vlm_scale", "size", "model_scale", "model_size"), turn=_scale,
        note="`small` and `large` are aliases of `caption.model`; `skip` takes `caption.skip`, and clusters are called "
        "`cluster_00` ..."),
    Row("vlm", "model id", _model, ("caption.model",), unless=_skipped, shown="by scale",
        keys=("model", "model_name", "model_path", "vlm_model", "custom_model", "repo_id"), note="An id or a folder."),
    Row("vlm", "source",
        choice("huggingface", "modelscope", "local", "endpoint", hf="huggingface", hub="huggingface",
               hugging_face_hub="huggingface",
               ms="modelscope", folder="local", local_folder="local", path="local", api="endpoint", openai="endpoint",
               openai_compatible="endpoint", openai_compatible_endpoint="endpoint", remote="endpoint"),
        ("caption.source", "caption"), "huggingface", unless=_skipped, turn=_source, keys=("model_source", "vlm_source"),
        shown="Hugging Face", note="An endpoint becomes `caption.openai`; a folder is named by `caption.model`."),
    Row("vlm", "API key", secret, ("caption.key_env",), unless=_no_endpoint, turn=_key, secret=True, shown="none",
        keys=("openai_api_key", "key", "token", "api_token", "auth_token"),
        note=f"Never copied: `key_env` names the variable that holds it, `{KEY_VARIABLE}` unless the file names another."),
    Row("vlm", "endpoint address", text, ("caption.url",), unless=_skipped, turn=_address, listed=False,
        keys=("api_base", "base_url", "api_url", "url", "endpoint", "endpoint_url", "openai_base_url"),
        note="Takes `caption.openai`."),
    Row("vlm", "engine", choice("vllm", "transformers", "openai", hf="transformers"), ("caption",), unless=_skipped,
        turn=_engine, keys=("backend", "runtime", "framework"), listed=False,
        note="vLLM unless said otherwise; `--set caption=transformers` for machines without it."),
    Row("vlm", "dtype",
        choice("bfloat16", "float16", "float32", "auto", bf16="bfloat16", fp16="float16", half="float16", fp32="float32",
               float="float32"),
        ("caption.dtype",), unless=_skipped, keys=("torch_dtype", "precision", "vlm_dtype"), shown="by device",
        note="shoal takes a half precision on a GPU and float32 on a CPU where it is left out."),
    Row("vlm", "flash attention", boolean, (MOOT,), unless=_skipped, shown="where installed",
        keys=("use_flash_attention", "flash_attn", "use_flash_attn", "flash_attention_2"),
        note="no effect, because the engines take the fastest attention that is installed"),
    Row("vlm", "caption batch", whole, ("caption.run.batch",), 4, unless=_skipped, turn=_batch,
        keys=("caption_batch_size", "batch_size", "batch"), note="With an endpoint: `caption.concurrency`."),
    Row("vlm", "longest side", whole, ("caption.longest_side",), 512, unless=_skipped, turn=_side,
        keys=("max_pixels", "max_side", "image_size", "resize", "max_image_size", "longest_edge"),
        note="0 is as is. A `max_pixels` above 16384 is taken for the pixels of a whole picture: its root is the side."),
    Row("vlm", "quantisation",
        choice("none", "int8", "int4", no="none", off="none", false="none",
               **{"8bit": "int8", "4bit": "int4", "8": "int8", "4": "int4"}),
        ("caption.quantisation",), "none", unless=_skipped, keys=("quantization", "quantize", "quant")),
    Row("vlm", "caption mode", choice("representative", "all", representatives="representative", sampled="representative"),
        ("caption.only",), "representative", unless=_skipped, turn=_mode, keys=("mode", "captions"),
        note="`representative` is `only: [sample, noise]` (noise is captioned to be rescued), `all` is `only: all`."),
)  # fmt: skip

LANGUAGE = (
    Row("language", "caption prompt", text, ("caption.prompt",), CAPTION_PROMPT, unless=_skipped, shown="the same",
        keys=("vlm_prompt", "image_prompt"), anywhere=True,
        note="With `{caption_length}`; a brace that is text is doubled."),
    Row("language", "caption length", whole, ("caption.caption_length",), 50, unless=_skipped, anywhere=True,
        keys=("caption_words", "caption_word_count")),
    Row("language", "keyword prompt", text, ("distil.prompt",), unless=_skipped,
        keys=("keywords_prompt", "keyword_template"), shown="asks for 3 to 8 keywords", note="With `{description}`."),
    Row("language", "label length", span, ("label.min_words", "label.max_words"), (5, 10), unless=_skipped, turn=_words,
        keys=("label_words", "label_length_words", "label_word_range"), shown="5 to 10 words",
        note="`5-10`, `5 to 10`, `[5, 10]` or `{min: 5, max: 10}`."),
    Row("language", "label min words", whole, ("label.min_words",), unless=_skipped, turn=_least, listed=False,
        keys=("min_words", "label_length_min", "min_label_words", "min_label_length", "label_min_length")),
    Row("language", "label max words", whole, ("label.max_words",), unless=_skipped, turn=_most, listed=False,
        keys=("max_words", "label_length_max", "max_label_words", "max_label_length", "label_max_length")),
    Row("language", "label cut", whole, ("label.max_characters",), 512, unless=_skipped,
        keys=("label_max_chars", "label_max_characters", "max_label_chars", "max_chars", "max_characters")),
    Row("language", "max keywords", whole, ("label.max_keywords",), 8, unless=_skipped,
        keys=("keywords_per_label", "label_max_keywords", "num_keywords", "max_keywords_per_label")),
    Row("language", "label prompt", text, ("distil.label_prompt",), unless=_skipped, shown="none",
        keys=("cluster_label_prompt",), note="In place of the keyword prompt, as before."),
    Row("language.rescue", "rescue threshold", number, ("rescue.threshold",), 0.6, unless=_skipped,
        keys=("threshold", "similarity_threshold")),
    Row("language.rescue", "similarity", choice("cosine", cosine_similarity="cosine"), (MOOT,), "cosine",
        unless=_skipped, keys=("similarity_metric", "metric", "rescue_similarity"),
        note="no effect, because it is always the cosine"),
    Row("language", "write caption files", boolean, ("shoal export --no-caption-files",), True,
        turn=_off("--no-caption-files"),
        keys=("save_caption_files", "caption_files", "write_captions", "save_captions"), anywhere=True,
        note="`shoal export --as workflow` writes them; `off` becomes the flag."),
    Row("language", "write keyword files", boolean, ("shoal export --no-keyword-files",), True,
        turn=_off("--no-keyword-files"),
        keys=("save_keyword_files", "keyword_files", "write_keywords", "save_keywords"), anywhere=True,
        note="`shoal export --as workflow` writes them; `off` becomes the flag."),
)  # fmt: skip
