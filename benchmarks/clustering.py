"""Measures reduction and clustering against the libraries called plainly; every measurement is a cold process.

    python benchmarks/clustering.py [--repeats 3] [--only cluster|reduce|memory] [--out benchmarks/results/clustering.json]

`cluster`: 1,000, 10,000 and 100,000 rows of 10 components, round blobs and uneven ones with noise: `cluster.hdbscan` with
backend auto, and hdbscan, fast_hdbscan and scikit-learn called plainly. `reduce`: 10,000 x 1280 by reduce.umap and
cluster.hdbscan, and by scikit-learn's PCA, umap-learn and hdbscan. `memory`: the highest memory of a process that reads
100,000 x 1280 float32 from a file and reduces and clusters it. Times are whole processes, start and imports included;
candidates take turns, and medians are compared. What compilers
keep on disk is warm for both sides, after an unmeasured round.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.schema import ID
from shoal.vectors import from_numpy

LIMIT = 240
TOO_SLOW = 60  # seconds after which a candidate of `cluster` is left out: scikit-learn at 100,000 rows compares every pair
MIN_CLUSTER_SIZE, MIN_SAMPLES = 10, 5

SHOAL = """
import sys, numpy as np, pyarrow as pa, resource
from shoal.contract import Context
from shoal_plugins.cluster.hdbscan import Hdbscan
with pa.OSFile(sys.argv[1]) as file:
    rows = pa.ipc.open_file(file).read_all()
if sys.argv[3] == "reduce":
    from shoal_plugins.reduce.umap import Umap
    rows = Umap().run(rows, Context(threads=2))
stage = Hdbscan(min_cluster_size=10, min_samples=5, selection_method="eom", selection_persistence=0.0)
np.save(sys.argv[2], stage.run(rows, Context(threads=2))["cluster"].to_numpy())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
PLAIN = """
import sys, numpy as np
x = np.load(sys.argv[1])
{reduce}
from {library} import HDBSCAN
model = HDBSCAN(min_cluster_size=10, min_samples={samples}, cluster_selection_method="eom")
np.save(sys.argv[2], model.fit(x).labels_)
print(0)
"""
PLAIN_REDUCE = """
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize
from umap import UMAP
x = PCA(50, random_state=42).fit_transform(normalize(x))
x = UMAP(n_components=5, n_neighbors=15, min_dist=0.0, metric="cosine", random_state=42).fit_transform(x)
"""
CLUSTERERS = {  # scikit-learn counts the point itself among the samples
    "hdbscan": PLAIN.format(library="hdbscan", samples=MIN_SAMPLES, reduce=""),
    "fast_hdbscan": PLAIN.format(library="fast_hdbscan", samples=MIN_SAMPLES, reduce=""),
    "scikit-learn": PLAIN.format(library="sklearn.cluster", samples=MIN_SAMPLES + 1, reduce=""),
    "shoal": SHOAL,
}
REDUCERS = {"plain": PLAIN.format(library="hdbscan", samples=MIN_SAMPLES, reduce=PLAIN_REDUCE), "shoal": SHOAL}


def blobs(n: int, size: int = 10, groups: int = 50) -> Any:
    """Return vectors in round groups of like size."""
    rng = np.random.default_rng(n)
    centres = rng.uniform(-10, 10, size=(groups, size))
    return (centres[rng.integers(0, groups, n)] + rng.normal(scale=0.6, size=(n, size))).astype(np.float32)


def uneven(n: int, size: int = 10, groups: int = 30) -> Any:
    """Return vectors in stretched groups of unlike size and density, and a twentieth of noise: more like real ones."""
    rng = np.random.default_rng(n + 1)
    shares = rng.dirichlet(np.full(groups, 1.5))
    group = rng.choice(groups, size=n, p=shares)
    stretch = rng.uniform(0.1, 1.2, size=(groups, size))
    vectors = rng.uniform(-10, 10, size=(groups, size))[group] + rng.normal(size=(n, size)) * stretch[group]
    noise = rng.random(n) < 0.05
    vectors[noise] = rng.uniform(-12, 12, size=(int(noise.sum()), size))
    return vectors.astype(np.float32)


def features(n: int, size: int = 1280, groups: int = 40) -> Any:
    """Return vectors of an embedder's length."""
    rng = np.random.default_rng(n + 2)
    centres = rng.normal(size=(groups, size)).astype(np.float32)
    vectors = np.empty((n, size), dtype=np.float32)
    for start in range(0, n, 4096):
        stop = min(n, start + 4096)
        vectors[start:stop] = centres[rng.integers(0, groups, stop - start)]
        vectors[start:stop] += 1.5 * rng.standard_normal((stop - start, size), dtype=np.float32)
    return vectors


def write(vectors: Any, folder: Path) -> None:
    """Write the vectors for both sides."""
    np.save(folder / "x.npy", vectors)
    schema = pa.schema([ID, pa.field("embedding", pa.list_(pa.float32(), vectors.shape[1]))])
    ids = pa.array([f"{row:064x}" for row in range(len(vectors))])
    with pa.OSFile(str(folder / "x.arrow"), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_table(pa.Table.from_arrays([ids, from_numpy(vectors)], schema=schema))


def once(code: str, folder: Path, what: str, shoal: bool, limit: float = LIMIT) -> tuple[float, float, float, Any] | None:
    """Return seconds, CPU seconds, highest memory in MB and labels of one cold process; None where it takes too long."""
    source = folder / ("x.arrow" if shoal else "x.npy")
    command = [sys.executable, "-W", "ignore", "-c", code, str(source), str(folder / "labels.npy"), what]
    start, used = time.perf_counter(), _cpu()
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    seconds = time.perf_counter() - start
    return seconds, _cpu() - used, int(done.stdout) / 1024, np.load(folder / "labels.npy")


def _cpu() -> float:
    """Return the CPU seconds of all processes that have ended: other work on the machine changes them less than time."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def race(codes: dict[str, str], vectors: Any, what: str, repeats: int) -> dict[str, Any]:
    """Return medians of the candidates, the ratio of shoal to the fastest other, and how far their clusters agree."""
    from sklearn.metrics import adjusted_rand_score

    seconds: dict[str, list[float]] = {name: [] for name in codes}
    cpu: dict[str, list[float]] = {name: [] for name in codes}
    labels: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(vectors, folder)
        running = dict(codes)
        for turn in range(repeats + 1):
            for candidate, code in list(running.items()):
                found = once(code, folder, what, candidate == "shoal", TOO_SLOW if what == "cluster" else LIMIT)
                if found is None:
                    del running[candidate]
                elif turn:
                    seconds[candidate].append(found[0])
                    cpu[candidate].append(found[1])
                    labels[candidate] = found[3]
    medians = {name: round(statistics.median(values), 2) for name, values in seconds.items() if values}
    others = {name: value for name, value in medians.items() if name != "shoal"}
    fastest = min(others, key=lambda name: others[name])
    return {
        "rows": len(vectors),
        "components": vectors.shape[1],
        "seconds": medians,
        "cpu_seconds": {name: round(statistics.median(values), 2) for name, values in cpu.items() if values},
        "all_seconds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
        "over_time_limit": [name for name in codes if name not in running],
        "fastest_other": fastest,
        "ratio": round(medians["shoal"] / medians[fastest], 3),
        "ari_with_fastest": round(float(adjusted_rand_score(labels[fastest], labels["shoal"])), 4),
        "clusters": int(labels["shoal"].max()) + 1,
        "noise": round(float((labels["shoal"] < 0).mean()), 4),
    }


def memory(n: int = 100_000) -> dict[str, Any]:
    """Return the highest memory of a process that reads, reduces and clusters `n` x 1280 float32."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(features(n), folder)
        (folder / "x.npy").unlink()
        found = once(SHOAL, folder, "reduce", True)
    size = n * 1280 * 4 / 2**20
    if found is None:
        return {"rows": n, "over_time_limit": LIMIT}
    seconds, _, peak, labels = found
    limit = 2.5 * size + 500
    return {
        "rows": n, "vectors_mb": round(size), "peak_mb": round(peak), "limit_mb": round(limit),
        "ratio": round(peak / limit, 3), "seconds": round(seconds, 1), "clusters": int(labels.max()) + 1,
    }  # fmt: skip


def keep(result: dict[str, Any], out: Path) -> None:
    """Write what is measured so far."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")


def main() -> None:
    """Measure what was asked for, and keep the rest of an earlier file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["cluster", "reduce", "memory"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "clustering.json")
    chosen = parser.parse_args()
    result: dict[str, Any] = json.loads(chosen.out.read_text()) if chosen.only and chosen.out.exists() else {}
    result["machine"] = {"python": platform.python_version(), "cpus": os.cpu_count(), "system": platform.system()}
    if chosen.only in (None, "cluster"):
        result["cluster"] = []
        for n in (1000, 10_000, 100_000):
            for make in (blobs, uneven):
                repeats = chosen.repeats * (3 if n == 1000 else 1)  # short runs scatter more
                result["cluster"].append({"data": make.__name__, **race(CLUSTERERS, make(n), "cluster", repeats)})
                keep(result, chosen.out)
    if chosen.only in (None, "reduce"):
        result["reduce"] = race(REDUCERS, features(10_000), "reduce", chosen.repeats)
        keep(result, chosen.out)
    if chosen.only in (None, "memory"):
        result["memory"] = memory()
        keep(result, chosen.out)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
