"""Measures "once ever": a second run with nothing changed, and one with 1 % new images, against the first.

    python benchmarks/incremental.py [--quick] [--images 2000] [--rounds 3]

The recipe quickstart over crops of the photo set. In each round: a run into a new folder, the same command again, and the
same command after 1 % more images came. Each in a fresh process, which also tells which model libraries it has loaded at its
end. Compute time is the run's seconds without the start of Ray. Work that all images together decide (reduction, clusters,
names, drawings) is answered anew when images come; rows of single images are not.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import Figure, Trial, busy_cores, finish, fresh, median, parser, photo_set, quiet
from pictures import crops, some

MODELS = ("onnxruntime", "torch", "ray", "umap", "hdbscan", "sklearn")
RUNS = ("first", "second", "more")


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        run_once(*sys.argv[2:])
        return
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        whole = crops(photo_set(options.photos), options.cache, options.images + new_images(options.images))
        rounds = [one_round(whole, Path(scratch) / str(turn), options) for turn in range(options.rounds)]
    trials = {name: [turn[name] for turn in rounds] for name in RUNS}
    details = {"images": options.images, "new": new_images(options.images), "trials": trials, **quiet(trials)}
    finish(options, "A second run, and one with 1 % new images", figures(trials, options.images), details)


def arguments() -> argparse.Namespace:
    made = parser(__doc__, "incremental")
    made.add_argument("--images", type=int, default=2000)
    made.add_argument("--rounds", type=int, default=3)
    options = made.parse_args()
    if options.quick:
        options.images, options.rounds = 40, 1
    return options


def new_images(images: int) -> int:
    return max(1, images // 100)


def one_round(whole: Path, work: Path, options: argparse.Namespace) -> dict[str, Trial]:
    """Run, run again, add images, run again."""
    pictures, out = work / "pictures", work / "out"
    new = new_images(options.images)
    list(some(whole, pictures, slice(0, options.images)))
    turns: dict[str, Trial] = {}
    for name in RUNS:
        if name == "more":
            list(some(whole, pictures, slice(options.images, options.images + new)))
        before = 0.0 if options.quick else busy_cores()
        trial = fresh([__file__, "--child", pictures, out])
        turns[name] = {**trial, "others": before}
        print(f"{name}: {trial['work']:.2f} s, {trial['wall']:.2f} with start-up, {trial['computed']}", file=sys.stderr)
    shutil.rmtree(work)
    return turns


def run_once(pictures: str, out: str) -> None:
    """Run quickstart in this process; print its seconds, what it computed, and which model libraries it loaded."""
    import shoal

    record = shoal.run("quickstart", pictures, out).record
    image_steps = ("index", "thumbnail", "embed")
    facts = {
        "seconds": record.seconds,
        "startup": record.startup,
        "work": record.seconds - record.startup,
        "files": record.files,
        "computed": {step.step: step.computed for step in record.steps},
        "image_steps": {step.step: step.computed for step in record.steps if step.step in image_steps},
        "step_seconds": {step.step: step.seconds for step in record.steps},
        "loaded": [name for name in MODELS if name in sys.modules],
    }
    print(json.dumps(facts))


def figures(trials: dict[str, list[Trial]], images: int) -> list[Figure]:
    first, second, more = (median(trials[name], "work") for name in RUNS)
    what, new = f"quickstart, {images:,} images", new_images(images)
    return [
        Figure(f"{what}: first run", first, "s"),
        Figure(f"{what}: second run, nothing changed", second, "s"),
        Figure(f"{what}: second run / first run", second / first, at_most=0.05),
        Figure(f"{what}: rows computed by the second run", greatest(trials["second"], "computed"), at_most=0),
        Figure(f"{what}: model libraries loaded by the second run", loaded(trials["second"]), at_most=0),
        Figure(f"{what}: run with {new} new images", more, "s"),
        Figure(f"{what}: images read or embedded by it", greatest(trials["more"], "image_steps"), at_most=new),
    ]


def greatest(trials: Sequence[Trial], key: str) -> int:
    """Return the largest number of rows that a step computed in any trial."""
    return max(int(count) for trial in trials for count in trial[key].values())


def loaded(trials: Sequence[dict[str, Any]]) -> int:
    return len({name for trial in trials for name in trial["loaded"]})


if __name__ == "__main__":
    main()
