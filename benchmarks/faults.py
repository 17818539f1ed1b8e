"""Kills a node of a three-node cluster at 20 random moments of a run, and measures what a second worker brings.

    python benchmarks/faults.py [--quick] [--out FILE]

Each run is held against one in this process that nothing disturbed: every table, and every row of the part files. Moments
are those of the run's own progress (so many rows of a step are done), drawn by seed; the node is the one beside the head
whose worker began a call last. For the second figure, a stage that keeps a core busy runs with one worker and with two, in
turns. CPU seconds of the busiest worker say only how evenly the work was split; the speed-up is what the clock says, and
needs a machine that others leave alone.
"""

import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from common import QUIET, ROOT, Figure, Trial, busy_cores, finish, parser

sys.path.insert(0, str(ROOT))

import pyarrow as pa
from tests.faults.cluster import BUILTINS, LENGTHY, At, Bench, Nodes, moment, same, strike, tables, three_nodes
from tests.runner.conftest import save

from shoal.host import Host

KILLS, ROUNDS, WORK = {False: 20, True: 1}, {False: 3, True: 1}, {False: 75, True: 5}
PHOTOS = {False: 384, True: 96}


def main() -> None:
    options = parser(__doc__, "faults").parse_args()
    os.environ["SHOAL_MLFLOW"] = "off"
    before = busy_cores()
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder, "photos")
        for seed in range(PHOTOS[options.quick]):
            save(photos, seed)
        bench = Bench(Host(builtins=BUILTINS, allow=()), photos, Path(folder))
        want = tables(bench.go(where="local"))
        with three_nodes() as nodes:
            kills = [killed(seed, bench, nodes, want) for seed in range(KILLS[options.quick])]
            nodes.whole()
            rounds = [workers(bench, WORK[options.quick]) for _ in range(ROUNDS[options.quick])]
    equal = sum(trial["equal"] for trial in kills)
    by_clock = statistics.median(trial["seconds_1"] / trial["seconds_2"] for trial in rounds)
    by_cpu = statistics.median(trial["cpu_1"] / trial["cpu_2"] for trial in rounds)
    figures = [
        Figure(f"a node killed at {len(kills)} random moments: runs whose tables differ", len(kills) - equal, at_most=0),
        # Between two steps no node has work that matters: such a run shows only that losing one is no harm.
        Figure(f"of those {len(kills)} runs, that had a fault to mend", sum(bool(trial["faults"]) for trial in kills)),
        Figure("2 workers / 1 worker, how evenly work is split (CPU seconds of the busiest)", by_cpu, "x"),
        Figure("2 workers / 1 worker, seconds of the pass with the workers' start", by_clock, "x", at_least=1.7),
    ]
    noise = {"quiet": before <= QUIET, "others_median_cores": round(before, 2)}
    finish(options, "Nodes that are killed, and a second worker", figures, {"kills": kills, "rounds": rounds, **noise})


def killed(seed: int, bench: Bench, nodes: Nodes, want: dict[str, pa.Table]) -> Trial:
    """Run once while a node is killed; return when that was and how it ended."""
    nodes.whole()
    step, rows, dice = moment(seed, want["embed"].num_rows)
    killer = At(step, rows, lambda: strike(nodes, bench, dice))
    began = time.perf_counter()
    equal, error = True, ""
    run = None
    try:
        run = bench.go(LENGTHY, progress=killer)
        same(run, want)
    except Exception as problem:  # a run that fails is counted, too
        equal, error = False, str(problem)[:300]
    seconds = time.perf_counter() - began
    faults = {record.step: record.faults for record in run.record.steps if record.faults} if run else {}
    trial = {"seed": seed, "step": step, "rows": rows, "equal": equal and killer.done, "seconds": seconds, "faults": faults}
    print(trial, error, flush=True)
    return {**trial, "error": error}


def workers(bench: Bench, work: int) -> Trial:
    """Run a stage that keeps a core busy with one worker and with two."""
    found: dict[str, Any] = {}
    for number in (1, 2):
        bench.log.unlink(missing_ok=True)
        run = bench.go(f"work: {work}, pause: 0", actors=number)
        found[f"seconds_{number}"] = run.record.step("embed").seconds
        found[f"cpu_{number}"] = max(cpu_seconds(bench.log))
    print(found, flush=True)
    return found


def cpu_seconds(log: Path) -> list[float]:
    """Return the CPU seconds of each worker: those from its first call to its last, and a call more."""
    seen = defaultdict(list)
    for line in log.read_text().splitlines():
        pid, _, cpu = line.split()
        seen[pid].append(float(cpu))
    calls = {pid: sorted(set(times)) for pid, times in seen.items()}
    return [(times[-1] - times[0]) * len(times) / max(len(times) - 1, 1) for times in calls.values()]


if __name__ == "__main__":
    main()
