"""Measures `evaluate.purity` on made vectors: seconds and memory of cold processes.

    python benchmarks/purity.py [--rounds 3] [--quick] [--out benchmarks/results/purity.json]

100,000 vectors of 50 components around 500 centres of unlike sizes, a tenth of them noise, lie in a file. A fresh process
reads it and runs the stage on as many threads as there are cores: its seconds count from its start to its end, imports
included, and its memory from where the vectors are read to its peak. Neighbours are approximate at this size: the share of
the exact ones that were found is measured apart, over 1,000 rows.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from common import Figure, finish, fresh, median, parser, quiet, take_turns

SIZES = {False: (100_000, 50, 500), True: (3_000, 20, 20)}
SECONDS, MEMORY_MB = 30, 2_000

CHILD = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import json, os, time
import pyarrow as pa
from common import peak_mb
from shoal.contract import Context
from shoal_plugins.evaluate.purity import Purity
with pa.OSFile(sys.argv[1]) as file:
    rows = pa.ipc.open_file(file).read_all()
held, notes, began = peak_mb(), {{}}, time.perf_counter()
Purity().run(rows, Context(threads=os.cpu_count() or 1, note=notes.__setitem__))
print(json.dumps({{"stage_seconds": time.perf_counter() - began, "over_data_mb": peak_mb() - held, "notes": notes}}))
"""


def main() -> None:
    made = parser(__doc__, "purity")
    made.add_argument("--rounds", type=int, default=3)
    options = made.parse_args()
    n, size, clusters = SIZES[options.quick]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors.arrow"
        write(file, n, size, clusters)
        rounds = 1 if options.quick else options.rounds
        trials = take_turns({"purity": lambda: fresh(["-c", CHILD, file])}, rounds)
        found = recall(file)
    what, runs = f"purity of {n:,} x {size}, {clusters} clusters", trials["purity"]
    figures = [
        Figure(f"{what}: whole cold process", median(runs, "wall"), "s", at_most=SECONDS),
        Figure(f"{what}: the stage", median(runs, "stage_seconds"), "s"),
        Figure(f"{what}: peak memory over the data", median(runs, "over_data_mb"), "MB", at_most=MEMORY_MB),
        Figure(f"{what}: neighbours found of the exact ones", found),
    ]
    finish(options, "Purity of clusters", figures, {"trials": trials, **quiet(trials)})


def write(file: Path, n: int, size: int, clusters: int) -> None:
    """Write ids, vectors and clusters; sizes of the clusters fall as 1 / rank does, down to a hundredth."""
    import numpy as np
    import pyarrow as pa

    from shoal.vectors import from_numpy

    rng = np.random.default_rng(7)
    weights = 1 / np.arange(1, clusters + 1).clip(max=100)
    labels = np.sort(rng.choice(clusters, n, p=weights / weights.sum()))
    rows = rng.normal(size=(clusters, size))[labels] + rng.normal(scale=0.7, size=(n, size))
    labels[rng.random(n) < 0.1] = -1
    order = rng.permutation(n)
    columns: dict[str, Any] = {
        "id": pa.array([f"{row:064x}" for row in range(n)]),
        "embedding": from_numpy(rows[order].astype(np.float32)), "cluster": pa.array(labels[order], pa.int32()),
    }  # fmt: skip
    table = pa.table(columns)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def recall(file: Path) -> float:
    """Return the share of the exact neighbours of 1,000 rows that the stage finds."""
    import numpy as np
    import pyarrow as pa

    from shoal.contract import Context
    from shoal_plugins.evaluate._graph import neighbours
    from shoal_plugins.reduce._matrix import matrix, unit_rows

    with pa.OSFile(str(file)) as opened:
        points = unit_rows(matrix(pa.ipc.open_file(opened).read_all()))
    found, _ = neighbours(points, 10, "cpu", Context(threads=2))
    some = np.random.default_rng(0).choice(len(points), 1000, replace=False)
    cosines = points[some] @ points.T
    cosines[np.arange(len(some)), some] = -np.inf
    exact = np.argpartition(-cosines, 10, axis=1)[:, :10]
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found[some], exact, strict=True)]))


if __name__ == "__main__":
    sys.exit(main())
