"""Measures the driver's memory against the rows of a manifest, through the index and a map stage.

    python benchmarks/driver_memory.py [--quick] [--sizes 100000,1000000,10000000]

The manifest (Parquet) names made-up paths and the SHA-256 of each, so no file is read; `embed.stub` (tests/packages/stub)
makes a vector of 8 numbers from the id. A fresh process runs the pipeline, and with it writes the files, the images and the
rows of the run; the worker runs in the same process, so that its memory counts too. A second run finds all rows kept. Told
is the most memory that the process ever held.
"""

import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import ROOT, Figure, finish, fresh, parser, peak_mb

PIPELINE = """\
shoal: 1
name: manifest
steps:
  - use: index.table
    with: {id: sha256, stat: false}
  - use: embed.stub
"""
AT_MOST, TARGET_ROWS = 1.3, 10_000_000


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(run(Path(sys.argv[2]))))
        return
    made = parser(__doc__, "driver_memory")
    made.add_argument("--sizes", type=lambda text: [int(word) for word in text.split(",")], default=[10**5, 10**6, 10**7])
    made.add_argument("--scratch", type=Path, help="folder for manifests and stores; a temporary one where none is named")
    options = made.parse_args()
    sizes = [20_000, 200_000] if options.quick else options.sizes
    found: list[dict[str, Any]] = []
    for rows in sizes:
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            found.append(measure(Path(scratch), rows))
        print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    finish(options, "The driver's memory against the rows of a manifest", figures(found), {"sizes": found})


def measure(work: Path, rows: int) -> dict[str, Any]:
    """Run over so many rows, and again, in processes of their own."""
    write(work / "manifest.parquet", rows)
    first = fresh([__file__, "--child", work], timeout=14_400)
    return {"first": first, "again": fresh([__file__, "--child", work], timeout=14_400), "rows": rows}


def write(path: Path, rows: int) -> None:
    """Write a manifest of made-up paths, a block at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("path", pa.string()), ("sha256", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, rows, 100_000):
            names = [
                f"s3://bucket/photos/{row // 1000:06d}/image-{row:09d}.jpg"
                for row in range(start, min(rows, start + 100_000))
            ]
            ids = [hashlib.sha256(name.encode()).hexdigest() for name in names]
            writer.write_table(pa.table([names, ids], schema=schema))


def run(work: Path) -> dict[str, Any]:
    """Run the pipeline in this process; return its peak and what came out."""
    sys.path.insert(0, str(ROOT / "tests" / "packages" / "stub"))
    import shoal
    from shoal.builtins import BUILTINS
    from shoal.host import Host
    from shoal.pipeline import parse
    from shoal.runner import RunOptions

    host = Host(builtins=(*BUILTINS, "shoal_test_stub"), allow=())
    pipeline = parse(PIPELINE, host, where="driver_memory.py")
    began, used = time.perf_counter(), time.process_time()
    record = shoal.run(
        pipeline, work / "manifest.parquet", work / "out", host=host, options=RunOptions(where="local")
    ).record
    computed = {step.step: step.computed for step in record.steps}
    return {
        "peak_mb": peak_mb(), "images": record.images, "files": record.files, "accepted": record.accepted,
        "computed": computed, "hook_errors": record.hook_errors, "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - used,
    }  # fmt: skip


def figures(found: list[dict[str, Any]]) -> list[Figure]:
    lines = []
    for size in found:
        what = f"manifest of {size['rows']:,} rows"
        lines.append(Figure(f"{what}: peak of the driver, index and map", size["first"]["peak_mb"], "MB"))
        lines.append(Figure(f"{what}: peak when all rows are kept already", size["again"]["peak_mb"], "MB"))
        lines.append(Figure(f"{what}: CPU time", size["first"]["cpu_seconds"], "s"))
    small, large = found[-2:]
    bound = AT_MOST if large["rows"] >= TARGET_ROWS else None  # a ratio of smaller sizes is no answer to the target
    for turn, what in (("first", "index and map"), ("again", "all rows kept already")):
        ratio = large[turn]["peak_mb"] / small[turn]["peak_mb"]
        lines.append(Figure(f"{large['rows']:,} rows / {small['rows']:,} rows: peak, {what}", ratio, at_most=bound))
    return lines


if __name__ == "__main__":
    main()
