"""Measures start-up: `shoal --help`, and a whole run of the recipe quickstart over the 214 photos, both in fresh processes.

    python benchmarks/startup.py [--quick] [--rounds 5]

`shoal --help` takes turns with an interpreter that does nothing. The weights are present and the files were read before, so
that the disk is out of it; nothing of a run is kept from one turn to the next.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from common import Figure, Trial, finish, fresh, median, parser, photo_set, quiet, shoal, shoal_run, take_turns
from pictures import crops

HELP_EVERY = 3
"""Turns of `shoal --help` for each of the run: it is over soon, and noise is a larger part of it."""


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        photos = crops(photo_set(options.photos), options.cache, 12) if options.quick else photo_set(options.photos)
        helps = {"help": lambda: fresh(shoal("--help")), "python": lambda: fresh(["-c", "pass"])}
        fresh(shoal("--help"))  # compiles what was not compiled yet
        trials = take_turns(helps, options.rounds * HELP_EVERY, watch=not options.quick)
        trials |= take_turns({"run": lambda: whole_run(photos, Path(scratch))}, options.rounds, watch=not options.quick)
    finish(options, "Start-up", figures(trials), {"trials": trials, **quiet(trials)})


def arguments() -> argparse.Namespace:
    made = parser(__doc__, "startup")
    made.add_argument("--rounds", type=int, default=3)
    options = made.parse_args()
    if options.quick:
        options.rounds = 1
    return options


def whole_run(photos: Path, scratch: Path) -> Trial:
    """Run quickstart into a new folder."""
    trial = shoal_run("quickstart", photos, "--out", scratch / "out")
    shutil.rmtree(scratch / "out")
    record = trial.pop("record")
    return {**trial, "images": record["images"], "steps": {step["step"]: step["seconds"] for step in record["steps"]}}


def figures(trials: dict[str, list[Trial]]) -> list[Figure]:
    run = trials["run"][0]["images"]
    return [
        Figure("`shoal --help`", median(trials["help"], "wall"), "s", at_most=0.5),
        Figure("an interpreter that does nothing", median(trials["python"], "wall"), "s"),
        Figure(
            f"quickstart, {run:,} photos, whole process, {os.cpu_count()} cores",
            median(trials["run"], "wall"),
            "s",
            at_most=45,
        ),
    ]


if __name__ == "__main__":
    main()
