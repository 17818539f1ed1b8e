"""Runs to review: real ones of little pictures, and a large one that is only said."""

from pathlib import Path

import numpy as np
from PIL import Image

import shoal
from shoal.catalogue import Run
from shoal.runner import RunOptions
from shoal_ls.tasks import Said

PIPELINE = """shoal: 1
name: reviewing
steps:
  - use: index.folder
  - use: thumbnail.jpeg
  - use: embed.lite0
  - use: cluster.dbscan
    with: {mode: noise_control, metric: cosine, min_samples: 3, max_noise_ratio: 0.25}
  - use: caption.tags
  - use: label.tags
  - use: rescue.captions
    with: {threshold: -1} # whatever the likest cluster is
"""
COLOURS, EACH, ODD = 3, 6, 2
HOSTILE = ["<img src=x onerror=alert(1)>.jpg", "\"'><b onclick=alert(2)>.jpg", "a\u202egpj.exe\u2066.jpg", "{{7*7}}.jpg"]


def pictures(folder: Path, each: int = EACH) -> Path:
    """Write noise in three colours, under names that are hostile where there are such, and pictures like none of these."""
    folder.mkdir(parents=True)
    for place in range(COLOURS * each):
        noise = np.random.default_rng(place).integers(0, 120, (48, 64, 3), dtype=np.uint8)
        noise[..., place % COLOURS] += 120
        name = HOSTILE[place] if place < len(HOSTILE) else f"picture {place}.jpg"
        Image.fromarray(noise).save(folder / name)
    for place in range(ODD):
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[:, :, place] = np.linspace(0, 255, 64)[None, :]
        pixels[10 * place : 10 * place + 12] = 255 - 40 * place
        Image.fromarray(pixels).save(folder / f"odd {place}.jpg")
    return folder


def make_run(folder: Path, each: int = EACH) -> Run:
    """Run a pipeline over little pictures; the store is `folder / "out"`."""
    file = folder / "reviewing.yaml"
    images = pictures(folder / "pictures", each)
    file.write_text(PIPELINE)
    return shoal.run(file, images, folder / "out", options=RunOptions(where="local"))


def said(clusters: int, each: int = 3, noise: int = 0, labels: list[str] | None = None, spread: float = 10.0) -> Said:
    """Return what a run with many clusters would say; the less their centres are spread, the more doubtful images."""
    random = np.random.default_rng(0)
    count = clusters * each
    cluster = np.concatenate([np.repeat(np.arange(clusters), each), np.full(noise, -1)]).astype(np.int64)
    centres = random.normal(size=(max(clusters, 1), 5)).astype(np.float32) * spread
    vectors = np.concatenate([centres[cluster[:count]], np.zeros((noise, 5), np.float32)])
    vectors += random.normal(size=vectors.shape).astype(np.float32)
    words = labels or [f"label {n}" for n in range(clusters)]
    return Said(
        ids=[f"{n:064x}" for n in range(count + noise)],
        names=[f"picture {n}.jpg" for n in range(count + noise)],
        cluster=cluster,
        vectors=vectors,
        labels={n: words[n % len(words)] for n in range(clusters)},
    )
