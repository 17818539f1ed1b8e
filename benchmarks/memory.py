"""Measures peak memory against the number of vectors: through the store, PCA and clustering.

    python benchmarks/memory.py [--quick] [--sizes 1000,10000,100000]

Vectors of 1280 float32 numbers around 50 centres are written into a store's rows by one process, in part files as a run
writes them. A second, fresh process reads them back in the order of their ids, reduces them (`reduce.pca`) and clusters the
answer (`cluster.hdbscan`), by the same table jobs as a run on one machine, and tells the most memory that it ever held.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import Figure, finish, fresh, parser, peak_mb

SIZE, CENTRES, COMPONENTS, PART = 1280, 50, 10, 512
ALLOWED = 500.0
"""MB besides 2.5 times the vectors."""


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        print(
            json.dumps({"write": write, "read": read, "nothing": nothing}[sys.argv[2]](Path(sys.argv[3]), int(sys.argv[4])))
        )
        return
    options = arguments()
    sizes: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for count in options.sizes:
            sizes.append(measure(Path(scratch) / str(count), count))
            print(json.dumps(sizes[-1]), file=sys.stderr, flush=True)
    finish(
        options, "Peak memory against the number of vectors", [f for size in sizes for f in figures(size)], {"sizes": sizes}
    )


def arguments() -> argparse.Namespace:
    made = parser(__doc__, "memory")
    made.add_argument("--sizes", type=lambda text: [int(word) for word in text.split(",")], default=[1000, 10_000, 100_000])
    options = made.parse_args()
    if options.quick:
        options.sizes = [200]
    return options


def measure(out: Path, count: int) -> dict[str, Any]:
    """Write, then read in a process of its own; return MB and seconds."""
    fresh([__file__, "--child", "write", out, str(count)])
    facts = fresh([__file__, "--child", "read", out, str(count)])
    empty = fresh([__file__, "--child", "nothing", out, "0"])
    vectors = count * SIZE * 4 / 1e6
    return {
        "vectors": count,
        "vectors_mb": vectors,
        "bound_mb": 2.5 * vectors + ALLOWED,
        "imports_mb": empty["peak_mb"],
        **facts,
    }


def identities(count: int) -> list[str]:
    import hashlib

    return sorted(hashlib.sha256(str(number).encode()).hexdigest() for number in range(count))


def blocks(count: int) -> "Iterator[np.ndarray[Any, np.dtype[np.float32]]]":
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(CENTRES, SIZE)).astype(np.float32)
    for start in range(0, count, PART):
        rows = min(PART, count - start)
        noise = rng.normal(scale=0.7, size=(rows, SIZE)).astype(np.float32)
        yield centres[rng.integers(CENTRES, size=rows)] + noise


def write(out: Path, count: int) -> dict[str, Any]:
    import pyarrow as pa

    from shoal.schema import ID, vector
    from shoal.store import Store
    from shoal.vectors import from_numpy

    rows = Store.open(out, create=True).rows("embed.benchmark", "0" * 64)
    ids = identities(count)
    schema = pa.schema([ID, pa.field("embedding", vector(SIZE))])
    for number, block in enumerate(blocks(count)):
        part = ids[number * PART : number * PART + len(block)]
        rows.write(pa.table([pa.array(part), from_numpy(block)], schema=schema))
    return {}


def read(out: Path, count: int) -> dict[str, Any]:
    """Read, reduce, cluster; return the peak and what came out."""
    import pyarrow as pa

    from shoal.runner.answering import Column, FromRows, FromTable, TableJob
    from shoal.store import Store
    from shoal.store.tables import TABLE
    from shoal_plugins.cluster.hdbscan import Hdbscan
    from shoal_plugins.reduce.pca import Pca

    store, ids = Store.open(out), pa.array(identities(count))
    began = time.perf_counter()
    embedding = (Column("embedding", "embedding"),)
    reduced, clusters = store.tables("reduce.pca", "1" * 64, "1" * 64), store.tables("cluster.hdbscan", "2" * 64, "2" * 64)
    source = FromRows(store.rows("embed.benchmark", "0" * 64), embedding)
    TableJob(Pca(components=COMPONENTS), ids, (source,), reduced, gpu=False, threads=2).run()
    after_reduction = peak_mb()
    stage = Hdbscan(min_cluster_size=20, min_samples=5, selection_method="eom")
    TableJob(stage, ids, (FromTable(reduced.folder, TABLE, embedding),), clusters, gpu=False, threads=2).run()
    found = clusters.read(["cluster"])["cluster"].to_numpy()
    return {
        "peak_mb": peak_mb(),
        "reduction_peak_mb": after_reduction,
        "seconds": time.perf_counter() - began,
        "clusters": int(found.max()) + 1,
        "noise": int((found < 0).sum()),
    }


def nothing(out: Path, count: int) -> dict[str, Any]:
    """Import what the work needs, and do none."""
    import hdbscan  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    import shoal.runner.answering  # noqa: F401

    return {"peak_mb": peak_mb()}


def figures(size: dict[str, Any]) -> list[Figure]:
    what = f"{size['vectors']:,} x {SIZE} float32 ({size['vectors_mb']:.3g} MB)"
    bound = f"; 2.5 x the vectors + {ALLOWED:g} MB is {size['bound_mb']:.4g}"
    return [
        Figure(
            f"{what}: peak of store, PCA and clustering{bound}", size["peak_mb"], "MB", at_most=round(size["bound_mb"], 1)
        )
    ]


if __name__ == "__main__":
    main()
