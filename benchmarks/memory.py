"""Measures peak memory against the number of images: a whole run with 1280 float32 numbers an image, in one process.

    python benchmarks/memory.py [--quick] [--sizes 1000,10000,100000]

The images are pictures of one pixel, and their vectors lie around 50 centres (`made_vectors.py`), so that nothing but the
number of images counts. A fresh process indexes them, keeps the vectors in the store, reads them back, reduces them
(`reduce.pca`), clusters the answer (`cluster.hdbscan`) and writes the report's page; on Ray the same work is spread over
more processes. Told is the most memory that it ever held, and that of a process that only loads the libraries.
"""

import argparse
import json
import struct
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

from common import Figure, finish, fresh, parser, peak_mb

COMPONENTS = 10
ALLOWED = 500.0
"""MB besides 2.5 times the vectors."""
PIPELINE = f"""\
shoal: 1
name: memory
description: Made vectors, reduced and clustered
steps:
  - use: index.folder
  - use: embed.made
  - use: reduce.pca
    with: {{components: {COMPONENTS}}}
  - use: cluster.hdbscan
    from: reduce
    with: {{min_cluster_size: 20, min_samples: 5, selection_method: eom}}
"""


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(run(Path(sys.argv[2]))))
        return
    if sys.argv[1:2] == ["--idle"]:
        print(json.dumps(idle()))
        return
    options = arguments()
    sizes: list[dict[str, Any]] = []
    for count in options.sizes:
        with tempfile.TemporaryDirectory() as scratch:
            sizes.append(measure(Path(scratch), count))
        print(json.dumps(sizes[-1]), file=sys.stderr, flush=True)
    finish(options, "Peak memory against the number of images", [figure(size) for size in sizes], {"sizes": sizes})


def arguments() -> argparse.Namespace:
    made = parser(__doc__, "memory")
    made.add_argument("--sizes", type=lambda text: [int(word) for word in text.split(",")], default=[1000, 10_000, 100_000])
    options = made.parse_args()
    if options.quick:
        options.sizes = [200]
    return options


def measure(work: Path, count: int) -> dict[str, Any]:
    """Run over so many images in a process of its own; return MB and seconds."""
    from made_vectors import SIZE

    draw(work / "pictures", count)
    vectors = count * SIZE * 4 / 1e6
    idle_mb = fresh([__file__, "--idle"])["peak_mb"]
    bounds = {"vectors": count, "vectors_mb": vectors, "bound_mb": 2.5 * vectors + ALLOWED, "idle_mb": idle_mb}
    return {**bounds, **fresh([__file__, "--child", work])}


def draw(folder: Path, count: int) -> None:
    """Write PNG files of one pixel, each of another colour."""
    for number in range(count):
        place = folder / f"{number // 1000:03d}"
        place.mkdir(parents=True, exist_ok=True)
        header, pixel = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0), b"\0" + number.to_bytes(3, "big")
        chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixel)) + chunk(b"IEND", b"")
        (place / f"{number:06d}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def run(work: Path) -> dict[str, Any]:
    """Run the pipeline in this process; return its peak and what came out."""
    import shoal
    from shoal.builtins import BUILTINS
    from shoal.host import Host
    from shoal.pipeline import parse
    from shoal.runner import RunOptions

    host = Host(builtins=(*BUILTINS, "made_vectors"), allow=())
    pipeline = parse(PIPELINE, host, where="memory.py")
    record = shoal.run(pipeline, work / "pictures", work / "out", host=host, options=RunOptions(where="local")).record
    seconds = {f"{step.step}_seconds": step.seconds for step in record.steps}
    return {"peak_mb": peak_mb(), "images": record.images, "clusters": record.clusters, "noise": record.noise, **seconds}


def idle() -> dict[str, Any]:
    """Load the libraries, and do nothing with them."""
    import hdbscan  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import sklearn.decomposition  # noqa: F401

    import shoal  # noqa: F401

    return {"peak_mb": peak_mb()}


def figure(size: dict[str, Any]) -> Figure:
    what = f"{size['images']:,} images, vectors of {size['vectors_mb']:.3g} MB: peak of a whole run in one process"
    return Figure(what, size["peak_mb"], "MB", at_most=round(size["bound_mb"]))


if __name__ == "__main__":
    main()
