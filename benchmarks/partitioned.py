"""Measures `cluster.partitioned` against the number of vectors, and its clusters against HDBSCAN on all of a subset.

    python benchmarks/partitioned.py [--quick] [--sizes 10000,100000,1000000] [--figure docs/images/scaling-clusters.png]

The vectors are made up: 64 components in 60 groups of unlike size (Dirichlet, 3), density and stretch, and a twentieth of
noise. They lie in an Arrow file that is memory-mapped; a fresh process clusters each size with 2 threads. Told are wall
time, CPU time (other work on the machine changes it less), and the most memory that the process itself held: its own pages,
not those of the mapped file, which the system takes back. Then 50,000 rows of the largest size, drawn by another seed than
the sample, are clustered by `cluster.hdbscan` with the same options in all 64 components, and both answers compared (ARI).
"""

import json
import math
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import ROOT, Figure, Trial, busy_cores, finish, fresh, parser

SIZE, GROUPS, NOISE_SHARE, WIDTH = 64, 60, 0.05, 2.0
OPTIONS = {"min_cluster_size": 25, "min_samples": 5, "selection_method": "eom", "selection_persistence": 0.0}
SUBSET = 50_000
MINUTES = 15.0


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(CHILDREN[sys.argv[2]](*sys.argv[3:])))
        return
    made = parser(__doc__, "partitioned")
    made.add_argument(
        "--sizes", type=lambda text: [int(word) for word in text.split(",")], default=[10_000, 100_000, 1_000_000]
    )
    made.add_argument("--figure", type=Path, default=ROOT / "docs" / "images" / "scaling-clusters.png")
    options = made.parse_args()
    sample, subset = (500, 1000) if options.quick else (50_000, SUBSET)
    sizes = [1500, 3000] if options.quick else options.sizes
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        found = [measure(work, rows, sample) for rows in sizes]
        whole = fresh([__file__, "--child", "whole", work, subset, sample], timeout=7200)
    slope = slope_of(found[-2:])
    finish(options, "Clustering against the number of vectors", figures(found, whole, slope),
           {"sizes": found, "whole": whole, "slope": slope, "sample": sample, "options": OPTIONS})  # fmt: skip
    if not options.quick:
        draw(found, slope, options.figure)


def measure(work: Path, rows: int, sample: int) -> Trial:
    """Make so many vectors and cluster them in processes of their own."""
    fresh([__file__, "--child", "make", work, rows])
    others = busy_cores()
    trial = fresh([__file__, "--child", "cluster", work, sample], timeout=7200)
    print(json.dumps(trial), file=sys.stderr, flush=True)
    return {**trial, "others": round(max(others, busy_cores()), 2)}


def make(work: str, rows: str) -> Trial:
    """Write the vectors, and beside them the group of each."""
    import numpy as np
    import pyarrow as pa

    from shoal.schema import ID
    from shoal.vectors import from_numpy

    rng = np.random.default_rng(7)
    centres = rng.uniform(-WIDTH, WIDTH, size=(GROUPS, SIZE))
    shares = rng.dirichlet(np.full(GROUPS, 3.0))
    stretch = rng.uniform(0.1, 1.2, size=(GROUPS, SIZE)) * rng.uniform(0.4, 1.2, size=(GROUPS, 1))
    schema = pa.schema([ID, pa.field("embedding", pa.list_(pa.float32(), SIZE))])
    groups = []
    with pa.OSFile(f"{work}/x.arrow", "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for start in range(0, int(rows), 50_000):
            count = min(50_000, int(rows) - start)
            group = rng.choice(GROUPS, size=count, p=shares)
            vectors = centres[group] + rng.normal(size=(count, SIZE)) * stretch[group]
            noise = rng.random(count) < NOISE_SHARE
            vectors[noise] = rng.uniform(-WIDTH - 1, WIDTH + 1, size=(int(noise.sum()), SIZE))
            group[noise] = -1
            ids = pa.array([f"{row:064x}" for row in range(start, start + count)])
            writer.write_batch(pa.record_batch([ids, from_numpy(vectors.astype(np.float32))], schema=schema))
            groups.append(group)
    np.save(f"{work}/groups.npy", np.concatenate(groups))
    return {"rows": int(rows)}


def cluster(work: str, sample: str) -> Trial:
    """Cluster the mapped vectors; return seconds, memory, and how the clusters compare with the groups they were made in."""
    import numpy as np
    import pyarrow as pa

    notes: dict[str, Any] = {}
    with pa.memory_map(f"{work}/x.arrow") as file, own_memory() as memory:
        rows = pa.ipc.open_file(file).read_all()
        began, used = time.perf_counter(), time.process_time()
        found = stage("partitioned", sample).run(rows, context(notes))["cluster"].to_numpy()
        seconds, cpu = time.perf_counter() - began, time.process_time() - used
    np.save(f"{work}/clusters.npy", found)
    return {
        "rows": len(found), "seconds": seconds, "cpu_seconds": cpu, "own_mb": memory["peak"] / 1e6,
        "start_mb": memory["start"] / 1e6, "vectors_mb": len(found) * SIZE * 4 / 1e6, "clusters": int(found.max()) + 1,
        "noise": float((found < 0).mean()), "notes": notes,
        "ari_with_groups": agreement(np.load(f"{work}/groups.npy"), found),
    }  # fmt: skip


def whole(work: str, count: str, sample: str) -> Trial:
    """Cluster a subset of the mapped vectors whole; return how far both answers agree on it."""
    import numpy as np
    import pyarrow as pa

    partitioned, groups = np.load(f"{work}/clusters.npy"), np.load(f"{work}/groups.npy")
    drawn = np.sort(np.random.default_rng(2026).choice(len(partitioned), size=int(count), replace=False))
    with pa.memory_map(f"{work}/x.arrow") as file:
        rows = pa.ipc.open_file(file).read_all().take(pa.array(drawn)).combine_chunks()
    began, used = time.perf_counter(), time.process_time()
    found = stage("hdbscan", sample).run(rows, context({}))["cluster"].to_numpy()
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    return {
        "rows": int(count), "seconds": seconds, "cpu_seconds": cpu, "clusters": int(found.max()) + 1,
        "noise": float((found < 0).mean()), "ari": agreement(found, partitioned[drawn]),
        "ari_with_groups": agreement(groups[drawn], found),
    }  # fmt: skip


CHILDREN = {"make": make, "cluster": cluster, "whole": whole}


def stage(name: str, sample: str) -> Any:
    from shoal_plugins.cluster.hdbscan import Hdbscan
    from shoal_plugins.cluster.partitioned import Partitioned

    return Hdbscan(**OPTIONS) if name == "hdbscan" else Partitioned(**OPTIONS, sample=int(sample))


def context(notes: dict[str, Any]) -> Any:
    from threadpoolctl import threadpool_limits

    from shoal.contract import Context

    threadpool_limits(2)
    return Context(threads=2, note=notes.__setitem__)


def agreement(one: Any, other: Any) -> float:
    """Return the adjusted Rand index; noise counts as a group of its own."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(one, other))


@contextmanager
def own_memory() -> Iterator[dict[str, float]]:
    """Note the most bytes of its own (not of mapped files) that this process holds meanwhile, looked at every 20 ms."""
    import hdbscan  # noqa: F401  (libraries are not what is measured)

    noted = {"start": anonymous(), "peak": 0.0}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            noted["peak"] = max(noted["peak"], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield noted
    finally:
        ended.set()
        watcher.join()


def anonymous() -> float:
    text = Path("/proc/self/status").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024.0


def slope_of(found: list[Trial]) -> float:
    """Return the exponent of the rows in the CPU seconds between two sizes."""
    first, last = found
    return math.log(last["cpu_seconds"] / first["cpu_seconds"]) / math.log(last["rows"] / first["rows"])


def figures(found: list[Trial], whole: Trial, slope: float) -> list[Figure]:
    lines = []
    for trial in found:
        what = f"cluster.partitioned, {trial['rows']:,} x {SIZE}"
        bound = MINUTES * 60 if trial["rows"] == 1_000_000 else None
        lines += [
            Figure(f"{what}: wall time, others using {trial['others']:.1f} cores", trial["seconds"], "s", at_most=bound),
            Figure(f"{what}: CPU time of all threads", trial["cpu_seconds"], "s"),
            Figure(f"{what}: memory besides the mapped vectors", trial["own_mb"], "MB"),
        ]
    return [
        *lines,
        Figure("exponent of the rows in the CPU time, between the two largest sizes", slope),
        Figure(f"agreement with HDBSCAN on all of {whole['rows']:,} other rows (ARI)", whole["ari"], at_least=0.9),
        Figure(f"the same HDBSCAN on {whole['rows']:,} x {SIZE}: CPU time", whole["cpu_seconds"], "s"),
    ]


def draw(found: list[Trial], slope: float, path: Path) -> None:
    """Draw CPU time and memory against the rows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [trial["rows"] for trial in found]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.loglog(rows, [trial["cpu_seconds"] for trial in found], "o-", label=f"slope {slope:.2f} at the end")
    left.set(xlabel="vectors of 64 components", ylabel="CPU seconds", title="cluster.partitioned: time")
    left.legend()
    right.semilogx(rows, [trial["own_mb"] for trial in found], "o-", label="its own")
    right.semilogx(rows, [trial["vectors_mb"] for trial in found], "s--", label="the vectors (mapped file)")
    right.set(xlabel="vectors of 64 components", ylabel="MB", title="cluster.partitioned: memory")
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
