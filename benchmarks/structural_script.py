"""The rival of `structural.py`: the workflow of structural-clusters as one would write it with the same libraries.

    python benchmarks/structural_script.py FOLDER MODEL OUT MIN_CLUSTER_SIZE MIN_SAMPLES

One process, one step after another, none of shoal's code: Pillow, OpenCV, ONNX Runtime with its default threads and batches
of 32, scikit-learn, umap-learn, hdbscan. Features are those of the prepared image and of its inverse, averaged; the classes
that name clusters are those of the image as it is. Pictures are those that Pillow can draw: samples of the clusters, their
sizes, preparations side by side. There is no scatter in space and no page around them.

It prints a JSON object: `seconds` without the start (imports, model opened), seconds of each step, and what came out.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import hdbscan
import numpy as np
import onnxruntime
import umap
from PIL import Image, ImageDraw
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Labels = NDArray[np.int64]
    Pixels = NDArray[np.uint8]

SIDE, BATCH, CELL = 224, 32, 80
SAMPLES, PREPARED, NEIGHBOURS = 16, 8, 10
PATTERNS = ("*.jpg", "*.jpeg", "*.png")

spent: dict[str, float] = {}


@contextmanager
def step(name: str) -> Iterator[None]:
    """Count the seconds of a step."""
    began = time.perf_counter()
    yield
    spent[name] = spent.get(name, 0.0) + time.perf_counter() - began


def main() -> None:
    folder, model, out = map(Path, sys.argv[1:4])
    size, samples = map(int, sys.argv[4:6])
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    paths = sorted(path for pattern in PATTERNS for path in folder.rglob(pattern))
    vectors, classes = features(paths, session)
    with step("reduce"):
        vectors = normalize(vectors)
        short = PCA(min(50, *vectors.shape), random_state=42).fit_transform(vectors)
        points = umap.UMAP(n_components=10, n_neighbors=15, min_dist=0.1, metric="cosine", random_state=42).fit_transform(
            short
        )
    with step("cluster"):
        labels = (
            hdbscan.HDBSCAN(min_cluster_size=size, min_samples=samples, cluster_selection_method="leaf").fit(points).labels_
        )
    with step("purity"):
        figures = purity(vectors, labels, out)
    with step("names"):
        names = {int(label): int(classes[labels == label].mean(axis=0).argmax()) for label in clusters(labels)}
    with step("pictures"):
        draw(paths, labels, out)
    seconds = time.perf_counter() - began
    np.savez(out / "result.npz", vectors=vectors, points=points, labels=labels)
    (out / "purity.json").write_text(json.dumps({**figures, "names": names}))
    print(json.dumps({"images": len(paths), "seconds": seconds, "steps": spent, "metrics": figures}))


def features(paths: list[Path], session: Any) -> "tuple[Vectors, Vectors]":
    """Return the mean features of prepared images and their inverses, and class probabilities of the images as they are."""
    vectors, classes = [], []

    def run(output: str, images: "list[Pixels]") -> "Vectors":
        found: Vectors = session.run([output], {"image": np.stack(images)})[0]
        return found

    for start in range(0, len(paths), BATCH):
        with step("decode"):
            images = [load(path) for path in paths[start : start + BATCH]]
        with step("prepare"):
            even = [prepared(image) for image in images]
        with step("model"):
            both = [run("embedding", batch) for batch in (even, [255 - image for image in even])]
            vectors.append((both[0] + both[1]) / 2)
        with step("names"):
            classes.append(run("probabilities", images))
    return np.concatenate(vectors), np.concatenate(classes)


def load(path: Path) -> "Pixels":
    return np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def prepared(image: "Pixels") -> "Pixels":
    grey = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(8, 8)).apply(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    return np.repeat(grey[:, :, None], 3, axis=2)


def clusters(labels: "Labels") -> "Labels":
    return np.unique(labels[labels >= 0])


def purity(vectors: "Vectors", labels: "Labels", out: Path) -> dict[str, float]:
    """Return the figures of `evaluate.purity`, by cosines."""
    numbers = clusters(labels)
    found = {"clusters": len(numbers), "noise": float((labels < 0).mean())}
    if len(numbers) < 2:
        return found
    centroids = normalize(np.stack([vectors[labels == number].mean(axis=0) for number in numbers]))
    cosines = centroids @ centroids.T
    np.save(out / "centroid_cosine_matrix.npy", cosines)
    inside = labels >= 0
    near = NearestNeighbors(n_neighbors=NEIGHBOURS + 1, metric="cosine").fit(vectors).kneighbors(return_distance=False)
    theirs = labels[near]
    worst = 0.0
    for number in numbers:
        seen = theirs[labels == number]
        worst = max(worst, float(((seen >= 0) & (seen != number)).sum() / max(1, (seen >= 0).sum())))
    return found | {
        "max_centroid_cosine": float(cosines[~np.eye(len(numbers), dtype=bool)].max()),
        "silhouette": float(silhouette_score(vectors[inside], labels[inside], metric="cosine")),
        "max_nn_cross_ratio": worst,
    }


def draw(paths: list[Path], labels: "Labels", out: Path) -> None:
    """Write samples of each cluster, sizes of the clusters, and some preparations, as PNG files."""
    numbers = clusters(labels)
    rng = np.random.default_rng(0)
    rows = []
    for number in numbers:
        members = np.flatnonzero(labels == number)
        rows.append([paths[index] for index in rng.choice(members, min(SAMPLES, len(members)), replace=False)])
    sheet(rows, load).save(out / "cluster_grid.png")
    sizes = [int((labels == number).sum()) for number in numbers]
    bars = Image.new("RGB", (400, 20 * max(1, len(sizes))), "white")
    pen = ImageDraw.Draw(bars)
    for row, size in enumerate(sizes):
        pen.rectangle((60, 20 * row + 3, 60 + 330 * size / max(sizes), 20 * row + 17), fill="steelblue")
        pen.text((4, 20 * row + 4), str(size), fill="black")
    bars.save(out / "cluster_sizes.png")
    looks = (load, lambda path: prepared(load(path)), lambda path: 255 - prepared(load(path)))
    made = [np.asarray(sheet([paths[:PREPARED]], look)) for look in looks]
    Image.fromarray(np.concatenate(made)).save(out / "preprocessing_comparison.png")


def sheet(rows: list[list[Path]], look: "Callable[[Path], Pixels]") -> Image.Image:
    """Return pictures in rows."""
    whole = Image.new("RGB", (CELL * max(map(len, rows), default=1), CELL * max(1, len(rows))), "white")
    for y, row in enumerate(rows):
        for x, path in enumerate(row):
            whole.paste(Image.fromarray(look(path)).resize((CELL, CELL)), (CELL * x, CELL * y))
    return whole


if __name__ == "__main__":
    main()
