"""What the benchmarks share: fresh processes that take turns, medians, facts of the machine, result files."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
CACHE = ROOT / "data" / "benchmarks"
QUIET = 0.3
"""Cores that others may use while a benchmark still counts as measured on a quiet machine."""

Trial = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A line of the table in the docs.

    Attributes:
        what: what was measured, in words.
        value: how it came out; `unit` follows it.
        at_least, at_most: the target, where there is one.
    """

    what: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values, with whether the target holds."""
        bounds = [(self.at_least, ">="), (self.at_most, "<=")]
        targets = [f"{sign} {bound:g}" for bound, sign in bounds if bound is not None]
        low = self.at_least is None or self.value >= self.at_least
        high = self.at_most is None or self.value <= self.at_most
        facts = {"what": self.what, "value": rounded(self.value), "unit": self.unit}
        return facts | ({"target": targets[0], "holds": low and high} if targets else {})


def parser(doc: str | None, name: str) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, measures nothing")
    made.add_argument("--out", type=Path, default=RESULTS / f"{name}.json", help="JSON file of the result")
    made.add_argument("--cache", type=Path, default=CACHE, help="folder that keeps pictures between runs")
    made.add_argument("--photos", type=Path, default=ROOT / "data" / "photos", help="photo set; fetched where it is missing")
    return made


def photo_set(folder: Path) -> Path:
    """Return the folder of the demo's photos, fetched where it is missing."""
    if not folder.is_dir():
        subprocess.run([sys.executable, str(ROOT / "examples" / "fetch_photos.py"), str(folder)], check=True, timeout=900)
    return folder


def machine() -> dict[str, Any]:
    """Return what the figures depend on; nothing that names the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count() or 1,
        "memory_gib": round(memory / 2**30, 1),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def take_turns(sides: Mapping[str, Callable[[], Trial]], rounds: int, *, watch: bool = True) -> dict[str, list[Trial]]:
    """Run the sides in turns, A B A B, so that a noisy minute hurts all alike. Return the trials of each.

    Args:
        sides: what to run, by name. Each starts processes of its own.
        rounds: turns of each.
        watch: note in each trial the cores that other programs used just before and after it, as `others`.
    """
    trials: dict[str, list[Trial]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name, side in sides.items():
            before = busy_cores() if watch else 0.0
            trial = side()
            others = max(before, busy_cores() if watch else 0.0)
            trials[name].append({**trial, "others": round(others, 2)})
            print(f"{turn + 1}/{rounds} {name}: {brief(trial)}; others {others:.2f} cores", file=sys.stderr, flush=True)
    return trials


def busy_cores(seconds: float = 0.5) -> float:
    """Return how many cores are in use now, while this process waits; 0 where the system does not tell."""
    before = _busy()
    time.sleep(seconds)
    return max(0.0, _busy() - before) / os.sysconf("SC_CLK_TCK") / seconds


def _busy() -> int:
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0
    user, nice, system, _idle, _wait, irq, soft, *_ = (int(word) for word in stat.read_text().split("\n", 1)[0].split()[1:])
    return user + nice + system + irq + soft


def quiet(trials: Mapping[str, Sequence[Trial]]) -> dict[str, Any]:
    """Say whether the machine had nothing else to do: the median and the largest use by others around the trials."""
    seen = [float(trial["others"]) for side in trials.values() for trial in side]
    middle = statistics.median(seen)
    return {"quiet": middle <= QUIET, "others_median_cores": round(middle, 2), "others_max_cores": round(max(seen), 2)}


def fresh(
    command: Sequence[str | Path], timeout: float = 1800, environment: Mapping[str, str] | None = None,
    python: str | Path = sys.executable,
) -> Trial:  # fmt: skip
    """Run a Python command in a fresh process; return the JSON object that it prints last, and `wall` seconds.

    Args:
        command: arguments of the interpreter.
        timeout: seconds.
        environment: variables to set besides.
        python: the interpreter, of another environment where a rival has one of its own.
    """
    began = time.perf_counter()
    done = subprocess.run(
        [str(python), *map(str, command)], capture_output=True, text=True, timeout=timeout, check=False,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    wall = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    text = done.stdout.strip()
    answer = json.loads(text[text.rindex("\n{") + 1 if "\n{" in text else 0 :]) if text.endswith("}") else {}
    return {**answer, "wall": wall}


def shoal(*arguments: str | Path) -> list[str | Path]:
    """Return the interpreter's arguments that run the command line."""
    return ["-c", "from shoal.cli import main; main()", *arguments]


def shoal_run(*arguments: str | Path, timeout: float = 3600) -> Trial:
    """Run `shoal run ... --json` in a fresh process. Return its record, `wall`, and `work`: seconds without Ray's start."""
    record = fresh(shoal("run", *arguments, "--json"), timeout)
    work = record["seconds"] - record["startup"]
    return {"wall": record["wall"], "work": work, "startup": record["startup"], "record": record}


def median(trials: Sequence[Trial], key: str) -> float:
    """Return the median of a figure over trials."""
    return statistics.median(float(trial[key]) for trial in trials)


def peak_mb() -> float:
    """Return the greatest memory that this process has held, in MB of 10^6 bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # the other way would count what the parent held when it forked
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def rounded(value: Any, digits: int = 4) -> Any:
    """Return a value with its floats cut to a few significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, dict):
        return {key: rounded(inner, digits) for key, inner in value.items()}
    return [rounded(inner, digits) for inner in value] if isinstance(value, list) else value


def brief(trial: Trial) -> str:
    """Return a trial's numbers in a line."""
    return ", ".join(f"{key} {value:.4g}" for key, value in trial.items() if isinstance(value, int | float))


def finish(options: argparse.Namespace, title: str, figures: Sequence[Figure], details: Mapping[str, Any]) -> None:
    """Write a benchmark's result: title, machine, figures, and the details that they come from."""
    result = {
        "title": title,
        "quick": bool(options.quick),
        "machine": machine(),
        "figures": [figure.plain() for figure in figures],
        **details,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(rounded(result), indent=1, sort_keys=True) + "\n")
    for figure in result["figures"]:
        held = "" if "holds" not in figure else "holds" if figure["holds"] else "MISSED"
        print(f"{figure['what']}: {figure['value']} {figure['unit']}  {figure.get('target', '')} {held}".rstrip())
