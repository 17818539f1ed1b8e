"""Pictures, batches and tiny models for the tests of captioners that hold a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.contract import Batch, Context

SIZES = [(96, 72), (72, 96), (80, 80), (96, 30), (64, 48), (96, 96)]
WORDS = 12
"""Tokens of a caption in these tests."""


def pictures(count: int = len(SIZES)) -> "list[np.ndarray[Any, Any]]":
    """Return different pictures of several shapes: a gradient between two colours with boxes on it."""
    made = []
    for number in range(count):
        width, height = SIZES[number % len(SIZES)]
        random = np.random.default_rng(number)
        image = np.linspace(*random.uniform(0, 255, (2, 3)), width)[None].repeat(height, 0)
        for _ in range(4):
            top, left = random.integers(0, height - 8), random.integers(0, width - 8)
            image[top : top + random.integers(8, 40), left : left + random.integers(8, 40)] = random.uniform(0, 255, 3)
        made.append(image.astype(np.uint8))
    return made


def odd_pictures() -> "list[np.ndarray[Any, Any]]":
    """Return images that model processors are known to choke on: a pixel, a line either way, one colour, noise."""
    random = np.random.default_rng(1)
    shapes = [(1, 1), (1, 512), (512, 1), (2, 3), (3, 3), (1, 3)]
    return [*(random.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes), np.zeros((60, 60, 3), np.uint8)]


def batch(images: "Sequence[np.ndarray[Any, Any]]") -> Batch:
    """Return a batch of images with made-up ids."""
    return Batch(pa.table({"id": pa.array([f"{number:064x}" for number in range(len(images))])}), list(images))


def captions(stage: Any, images: "Sequence[np.ndarray[Any, Any]]") -> list[str]:
    """Return a stage's captions of images."""
    return list(stage.map(batch(images))["caption"].to_pylist())


def ready(cls: Any, folder: Path, context: Context | None = None, **options: Any) -> Any:
    """Return a stage that holds the model of a folder, asked for a few words."""
    stage = cls(**{"model": str(folder), "max_tokens": WORDS, "longest_side": 96, **options})
    stage.setup(context or Context())
    return stage


def bare(folder: Path, images: "Sequence[np.ndarray[Any, Any]]", prompt: str, tokens: int = WORDS) -> list[str]:
    """Return what transformers answers when it is called as its documentation says, with nothing of shoal."""
    import torch
    import transformers
    from PIL import Image

    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    model.generation_config = transformers.GenerationConfig(eos_token_id=processor.tokenizer.eos_token_id)
    found = []
    for image in images:
        said = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
        text = processor.apply_chat_template(said, add_generation_prompt=True)
        inputs = processor(images=[Image.fromarray(image)], text=[text], return_tensors="pt")
        with torch.inference_mode():
            answer = model.generate(**inputs, max_new_tokens=tokens, do_sample=False, pad_token_id=0)
        found.append(processor.decode(answer[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip())
    return found
