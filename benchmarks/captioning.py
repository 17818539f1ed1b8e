"""The sides of `captions.py`: one engine, through a worker of shoal or called bare.

    python benchmarks/captioning.py shoal|bare transformers|vllm FOLDER MODEL ROWS

Each prints a JSON object: `seconds` and `cpu_seconds` without the loading of the model, and `digest` of all captions.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SIDE = 512
PROMPT = "Describe the main subject, action, lighting, and viewpoint of this image in detail (around 50 words)."
TOKENS = 150


def through_shoal(engine: str, folder: Path, model: Path, rows: Path) -> tuple[dict[str, float], list[str]]:
    """Caption with the worker that a run's map pass makes, in chunks as a run cuts them."""
    import pyarrow as pa

    from shoal.images import Limits
    from shoal.runner.chunking import cuts
    from shoal.runner.mapping import MapJob, MapTask
    from shoal.store import Folder, RowStore

    stage = _stage(engine, model)
    paths = sorted(folder.rglob("*.jpg"))
    ids = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    table = pa.table({"id": ids, "paths": [[str(path)] for path in paths], "need.0": [True] * len(ids)}).sort_by("id")
    store = RowStore(Folder(str(rows)))
    worker = MapJob((MapTask("caption", stage, store, stage.needs().batch),), Limits(), threads=1).worker()
    watch = _watch()
    for start, size in cuts(table.num_rows, 2):
        worker(table.slice(start, size).combine_chunks())
    spent = watch()
    kept = store.read(table["id"].combine_chunks(), stage.produces())[0].to_pylist()
    by_id = dict(zip(table["id"].to_pylist(), kept, strict=True))
    return spent, [by_id[image] for image in ids]


def _watch() -> Callable[[], dict[str, float]]:
    """Start a watch; it tells seconds of the clock and, for a machine that has other work, of this process's CPUs."""
    began, before = time.perf_counter(), time.process_time()
    return lambda: {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - before}


def _stage(engine: str, model: Path) -> Any:
    if engine == "vllm":
        from shoal_plugins.caption.vllm import Vllm

        return Vllm(model=str(model))
    from shoal_plugins.caption.transformers import Transformers

    return Transformers(model=str(model))


def bare(engine: str, folder: Path, model: Path, _rows: Path) -> tuple[dict[str, float], list[str]]:
    """Caption as the engine's documentation says."""
    paths = sorted(folder.rglob("*.jpg"))
    caption = {"vllm": _vllm, "transformers": _transformers}[engine](model)
    watch = _watch()
    found = caption(paths)
    return watch(), [" ".join(text.split()) for text in found]


def _shrunk(path: Path) -> Any:
    from PIL import Image

    with Image.open(path) as image:
        pixels, scale = image.convert("RGB"), SIDE / max(image.size)
        return pixels.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)


def _transformers(model: Path) -> Callable[[Sequence[Path]], list[str]]:
    from shoal_plugins.embed._torchvision import mend_torchvision

    mend_torchvision()
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

    torch.set_num_threads(1)
    processor = AutoProcessor.from_pretrained(model)
    network = AutoModelForImageTextToText.from_pretrained(model, dtype=torch.float32).eval()
    ends = processor.tokenizer.eos_token_id
    network.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=processor.tokenizer.pad_token_id)
    said = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT}]}]
    text = processor.apply_chat_template(said, add_generation_prompt=True)

    def one(path: Path) -> str:
        inputs = processor(images=[_shrunk(path)], text=[text], return_tensors="pt")
        with torch.inference_mode():
            tokens = network.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
        return str(processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))

    return lambda paths: [one(path) for path in paths]


def _vllm(model: Path) -> Callable[[Sequence[Path]], list[str]]:
    import os

    os.environ |= {
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
    }
    import torch
    from vllm import LLM, SamplingParams

    torch.set_num_threads(1)
    llm = LLM(
        str(model),
        dtype="float32",
        max_model_len=2048,
        enforce_eager=True,
        max_num_seqs=16,
        limit_mm_per_prompt={"image": 1},
    )
    greedy = SamplingParams(temperature=0.0, seed=0, max_tokens=TOKENS)

    def message(path: Path) -> list[dict[str, Any]]:
        picture = {"type": "image_pil", "image_pil": _shrunk(path)}
        return [{"role": "user", "content": [picture, {"type": "text", "text": PROMPT}]}]

    def ask(paths: Sequence[Path]) -> list[str]:
        return [answer.outputs[0].text for answer in llm.chat([message(path) for path in paths], greedy, use_tqdm=False)]

    return ask


def main() -> None:
    side, engine, *places = sys.argv[1:]
    spent, found = {"shoal": through_shoal, "bare": bare}[side](engine, *map(Path, places))
    digest = hashlib.sha256("\n".join(found).encode()).hexdigest()
    print("\n" + json.dumps({**spent, "images": len(found), "digest": digest}))


if __name__ == "__main__":
    main()
