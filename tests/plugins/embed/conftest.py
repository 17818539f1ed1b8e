"""Photographs, batches and contexts that the embedders' tests share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from shoal.contract import Batch, Context, ImageSpec


def shape_picture(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """Return a picture with structure at several scales: a gradient, a few rectangles, a little noise."""
    random = np.random.default_rng(seed)
    ramp = np.linspace(0, 255, width)[None, :, None] * random.random(3) + np.linspace(0, 120, height)[:, None, None]
    for _ in range(6):
        top, left = random.integers(0, height - 40), random.integers(0, width - 40)
        ramp[top : top + random.integers(20, 120), left : left + random.integers(20, 120)] = random.integers(0, 256, 3)
    return Image.fromarray(np.clip(ramp + random.normal(0, 8, ramp.shape), 0, 255).astype(np.uint8))


def fit(picture: Image.Image, spec: ImageSpec) -> np.ndarray:
    """Resize a picture as `spec` asks, with Pillow only."""
    filters = {
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
        "lanczos": Image.Resampling.LANCZOS,
    }
    if spec.fit == "stretch":
        return np.asarray(picture.resize((spec.width, spec.height), filters[spec.resample]))
    scale = max(spec.width / picture.width, spec.height / picture.height) * spec.overscan
    width, height = int(picture.width * scale + 1e-6), int(picture.height * scale + 1e-6)
    left, top = (width - spec.width) // 2, (height - spec.height) // 2
    resized = picture.resize((width, height), filters[spec.resample])
    return np.asarray(resized.crop((left, top, left + spec.width, top + spec.height)))


def batch(images: Sequence[np.ndarray]) -> Batch:
    """Return a batch of images with made-up ids."""
    return Batch(pa.table({"id": pa.array([f"{number:064x}" for number in range(len(images))])}), list(images))


def vectors(table: pa.Table, column: str = "embedding") -> np.ndarray:
    """Return a vector column as an array."""
    from shoal.vectors import to_numpy

    return to_numpy(table[column])


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the cosine between each row of one array and the same row of the other."""
    left, right = left.astype(np.float64), right.astype(np.float64)
    return (left * right).sum(1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)


def assert_rows_stand_alone(stage: Any, images: Sequence[np.ndarray]) -> None:
    """Assert that a row has the same bits by itself, in any batch and at any place in it."""
    whole = stage.map(batch(images))
    assert whole.schema.equals(stage.produces())
    assert whole.num_rows == len(images)
    for size in (1, 2, 3):
        parts = [stage.map(batch(images[start : start + size])) for start in range(0, len(images), size)]
        assert pa.concat_tables(parts).combine_chunks().equals(whole.combine_chunks())
    assert (
        stage.map(batch(images[::-1])).take(list(range(len(images)))[::-1]).combine_chunks().equals(whole.combine_chunks())
    )
    assert stage.map(batch([])).schema.equals(stage.produces())


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Seven pictures of different shapes."""
    sizes = [(320, 240), (240, 320), (300, 300), (400, 200), (64, 48), (321, 243), (500, 375)]
    return [shape_picture(seed, *size) for seed, size in enumerate(sizes)]


@pytest.fixture
def notes() -> dict[str, Any]:
    """What a stage noted for the record."""
    return {}


@pytest.fixture
def context(tmp_path: Path, notes: dict[str, Any]) -> Callable[..., Context]:
    """Make a context whose cache is a new folder and whose notes go to `notes`."""

    def make(**changes: Any) -> Context:
        return Context(**{"cache": tmp_path / "cache", "note": notes.__setitem__, **changes})

    return make
