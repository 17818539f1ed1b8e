"""Measures the recipe `structural-clusters` against a plain script of the same steps with the same libraries.

    python benchmarks/structural.py [--quick] [--images 5000] [--rounds 3]

5,000 product photos (Fashion-MNIST, of Debian's package dataset-fashion-mnist, scaled up to grey JPEG files of 320 x 320;
crops of the photo set where the package can't be had). They take turns, each in a fresh process: `structural_script.py`;
`shoal run structural-clusters` into a new folder; the same command again. The script has no scatter in space, no page and
no record, which count against shoal. Targets are held against whole processes, start-up and imports included. What numba
keeps on disk for shoal is there already, as after its first use on a machine.

The workflow itself does not name clusters; the recipe does, by a third pass of the model. The script does so too, and is
compared without that as well.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median as middle
from typing import Any

from common import Figure, Trial, finish, fresh, median, parser, photo_set, quiet, shoal_run, take_turns
from pictures import crops, products

RECIPE = "structural-clusters"
SCRIPT = Path(__file__).with_name("structural_script.py")
SIZES = {False: (50, 10), True: (5, 3)}
"""`min_cluster_size` and `min_samples`: the recipe's, and those of few images."""


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        folder, source = pictures(options)
        (work / "model.onnx").write_bytes(model())
        sides = {
            "script": lambda: script(folder, work, options),
            "first": lambda: recipe(folder, work, options, new=True),
            "second": lambda: recipe(folder, work, options, new=False),
        }
        trials = take_turns(sides, options.rounds, watch=not options.quick)
    details = {"images": options.images, "source": source, "trials": trials, **quiet(trials)}
    finish(options, "Structural clusters against a plain script", figures(trials, options.images), details)


def arguments() -> argparse.Namespace:
    made = parser(__doc__, "structural")
    made.add_argument("--images", type=int, default=5000)
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--on", default="auto", choices=["auto", "local", "ray"], help="where shoal works")
    options = made.parse_args()
    if options.quick:
        options.images, options.rounds, options.on = 60, 1, "local"
    return options


def pictures(options: argparse.Namespace) -> tuple[Path, str]:
    """Return the folder of images, and what they are. Tiny sizes download nothing."""
    if not options.quick:
        try:
            return products(options.cache, options.images), "Fashion-MNIST, 320 x 320"
        except OSError as problem:
            print(f"Fashion-MNIST can't be had ({problem}); taking crops of the photos", file=sys.stderr)
    return crops(photo_set(options.photos), options.cache, options.images), "crops of the photo set, 640 x 480"


def model() -> bytes:
    """Return the ONNX graph that shoal runs; this also puts it where shoal keeps it."""
    from shoal.contract import Context
    from shoal_plugins.embed._lite0_cache import lite0_model

    return lite0_model(Context())


def script(folder: Path, work: Path, options: argparse.Namespace) -> Trial:
    """Run the script; `work` is its seconds without imports."""
    size, samples = SIZES[options.quick]
    trial = fresh([SCRIPT, folder, work / "model.onnx", work / "script", str(size), str(samples)])
    return {"wall": trial["wall"], "work": trial["seconds"], "steps": trial["steps"], "metrics": trial["metrics"]}


def recipe(folder: Path, work: Path, options: argparse.Namespace, *, new: bool) -> Trial:
    """Run the recipe, into a new folder or into that of the run before; `work` is its seconds without the start of Ray."""
    out = work / "out"
    if new:
        shutil.rmtree(out, ignore_errors=True)
    size, samples = SIZES[options.quick]
    few = ["--set", f"cluster.min_cluster_size={size}", "--set", f"cluster.min_samples={samples}"] if options.quick else []
    trial = shoal_run(RECIPE, folder, "--out", out, "--on", options.on, *few)
    record: dict[str, Any] = trial.pop("record")
    steps = record["steps"]
    (judged,) = (step["notes"] for step in steps if step["step"] == "purity")
    return {
        **trial, "steps": {step["step"]: step["seconds"] for step in steps},
        "computed": {step["step"]: step["computed"] for step in steps}, "metrics": judged["metrics"],
    }  # fmt: skip


def figures(trials: Mapping[str, Sequence[Trial]], images: int) -> list[Figure]:
    what = f"{RECIPE}, {images:,} images"
    plain, first, second = (trials[name] for name in ("script", "first", "second"))
    fewer = [{"wall": trial["wall"] - trial["steps"]["names"]} for trial in plain]
    return [
        Figure(f"{what}: plain script, whole process", median(plain, "wall"), "s"),
        Figure(f"{what}: shoal, first run, whole process", median(first, "wall"), "s"),
        Figure(f"{what}: shoal, second run, whole process", median(second, "wall"), "s"),
        Figure(f"{what}: first run / plain script", ratio(plain, first, "wall"), at_least=0.9),
        Figure(f"{what}: the same, start-up of both excluded", ratio(plain, first, "work")),
        Figure(f"{what}: the same, whole processes, clusters not named by the script", ratio(fewer, first, "wall")),
        Figure(f"{what}: second run / plain script", ratio(plain, second, "wall"), at_least=20),
        Figure(f"{what}: the same, clusters not named by the script", ratio(fewer, second, "wall")),
        Figure(f"{what}: clusters that shoal found", median([trial["metrics"] for trial in first], "clusters")),
        Figure(f"{what}: clusters that the script found", median([trial["metrics"] for trial in plain], "clusters")),
    ]


def ratio(theirs: Sequence[Trial], ours: Sequence[Trial], seconds: str) -> float:
    """Return how many times faster ours is: the median of the ratios within each turn."""
    return float(middle(rival[seconds] / own[seconds] for rival, own in zip(theirs, ours, strict=True)))


if __name__ == "__main__":
    main()
