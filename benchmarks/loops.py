"""The rivals: programs that embed a folder of JPEG files with the same ONNX graph and none of shoal's code.

    python benchmarks/loops.py bare FOLDER MODEL      # the best there is: a process a core, decode fused with the model
    python benchmarks/loops.py plain FOLDER MODEL     # the script that a competent user writes first
    python benchmarks/loops.py decode-plain FOLDER    # that script's decoding alone
    python benchmarks/loops.py decode-shoal FOLDER    # shoal's decoding alone, one thread

Each prints a JSON object: `images`, and `seconds` without the start (imports, model opened); vectors are written to a file
beside the model, as anybody would.
"""

import json
import multiprocessing
import os
import sys
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 224
TAKE = 32
"""Files that a worker of the bare loop takes at a time from what is left."""


def bare(folder: Path, model: Path) -> dict[str, Any]:
    """A process a core; each decodes at reduced scale and runs the model by one image with one thread; uint8 goes in."""
    paths = [str(path) for path in sorted(folder.rglob("*.jpg"))]
    context = multiprocessing.get_context("spawn")
    workers = os.cpu_count() or 1
    ready, left = context.Barrier(workers + 1), context.Value("l", 0)
    processes = [
        context.Process(target=_bare_worker, args=(paths, str(model), ready, left, f"{model}.{number}.npy"))
        for number in range(workers)
    ]
    for process in processes:
        process.start()
    ready.wait()
    began = time.perf_counter()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("a worker of the bare loop failed")
    return {"images": len(paths), "seconds": time.perf_counter() - began}


def _bare_worker(paths: list[str], model: str, ready: Barrier, left: Any, out: str) -> None:
    import onnxruntime
    from PIL import Image

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    vectors, probabilities = [], []
    session.run(None, {"image": np.zeros((1, SIDE, SIDE, 3), np.uint8)})
    Image.init()
    ready.wait()
    while True:
        with left.get_lock():
            start = left.value
            left.value += TAKE
        if start >= len(paths):
            break
        for path in paths[start : start + TAKE]:
            vector, classes = session.run(["embedding", "probabilities"], {"image": scaled(path)[None]})
            vectors.append(vector)
            probabilities.append(classes)
    np.save(out, np.concatenate(vectors) if vectors else np.empty((0, 1)))


def scaled(path: str) -> "NDArray[np.uint8]":
    """Decode a JPEG at the smallest scale that is no smaller than the target."""
    from PIL import Image

    with Image.open(path) as image:
        step = next((step for step in (8, 4, 2) if min(image.width, image.height) >= SIDE * step), 1)
        if step > 1:
            image.draft("RGB", (image.width // step, image.height // step))
        small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
        return np.asarray(small)


def plain(folder: Path, model: Path, batch: int = 32) -> dict[str, Any]:
    """One process: decode a batch one by one, run the model on it with ONNX Runtime's default threads."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    paths = sorted(folder.rglob("*.jpg"))
    vectors = []
    began = time.perf_counter()
    for start in range(0, len(paths), batch):
        pixels = np.stack([whole(path) for path in paths[start : start + batch]])
        vectors.append(session.run(["embedding"], {"image": pixels})[0])
    np.save(f"{model}.npy", np.concatenate(vectors))
    return {"images": len(paths), "seconds": time.perf_counter() - began}


def whole(path: Path) -> "NDArray[np.uint8]":
    """Decode an image as most scripts do: all pixels, then a resize."""
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def decode_plain(folder: Path) -> dict[str, Any]:
    paths = sorted(folder.rglob("*.jpg"))
    whole(paths[0])
    began = time.perf_counter()
    for path in paths:
        whole(path)
    return {"images": len(paths), "seconds": time.perf_counter() - began}


def decode_shoal(folder: Path) -> dict[str, Any]:
    from shoal.contract import ImageSpec
    from shoal.images import decode

    spec = ImageSpec(SIDE, SIDE, fit="stretch", resample="bilinear")
    paths = sorted(folder.rglob("*.jpg"))
    decode(paths[0].read_bytes(), spec)
    began = time.perf_counter()
    for path in paths:
        decode(path.read_bytes(), spec)
    return {"images": len(paths), "seconds": time.perf_counter() - began}


def main() -> None:
    what, folder, *model = sys.argv[1:]
    loops: dict[str, Any] = {"bare": bare, "plain": plain, "decode-plain": decode_plain, "decode-shoal": decode_shoal}
    print(json.dumps(loops[what](Path(folder), *map(Path, model))))


if __name__ == "__main__":
    main()
