"""Measures embedding by `shoal run` against the best bare loop and against a plain script, with the same model.

    python benchmarks/embedding.py [--quick] [--images 10000] [--large 200] [--rounds 3]

10,000 JPEG files of 640 x 480 and 200 of 12 megapixels, made from the photo set. The three take turns in fresh processes:
`shoal run` of a pipeline with `index.folder` and `embed.lite0` into a new folder (it lists, hashes, reads headers, embeds,
writes Parquet, keeps the record), and the two programs of `loops.py`. Figures are medians of the turns. "Start-up excluded"
leaves out the start and the end of Ray (the run's record holds the first and is written before the second), and of the
rivals their imports, the opening of the model and the end of their process; Ray's workers start inside shoal's time. The
steady rate leaves them out too: the images of a run beyond those of a small run on Ray, over the seconds beyond.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median as middle
from typing import Any

from common import Figure, Trial, finish, fresh, median, parser, photo_set, quiet, shoal_run, take_turns
from pictures import crops, files, large, some

PIPELINE = """\
shoal: 1
name: embedding
description: Embeds a folder
steps:
  - use: index.folder
  - use: embed.lite0
"""
LOOPS = Path(__file__).parent / "loops.py"


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        (work / "pipeline.yaml").write_text(PIPELINE)
        (work / "model.onnx").write_bytes(model())
        photos = photo_set(options.photos)
        small = measure(crops(photos, options.cache, options.images), work, options.rounds, options)
        big = measure(large(photos, options.cache, options.large), work, options.rounds, options, decode=True)
    finish(options, "Embedding with EfficientNet-Lite0", figures(small, big, options), {"small": small, "large": big})


def arguments() -> argparse.Namespace:
    made = parser(__doc__, "embedding")
    made.add_argument("--images", type=int, default=10_000, help="files of 640 x 480")
    made.add_argument("--large", type=int, default=200, help="files of 12 megapixels")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--on", default="auto", choices=["auto", "local", "ray"], help="where shoal works")
    options = made.parse_args()
    if options.quick:
        options.images, options.large, options.rounds, options.on = 48, 2, 1, "local"
    return options


def model() -> bytes:
    """Return the ONNX graph that shoal runs; this also puts it where shoal keeps it."""
    from shoal.contract import Context
    from shoal_plugins.embed._lite0_cache import lite0_model

    return lite0_model(Context())


def measure(folder: Path, work: Path, rounds: int, options: argparse.Namespace, *, decode: bool = False) -> dict[str, Any]:
    """Let all take turns over a folder; return trials, medians and ratios."""
    network = work / "model.onnx"

    def embed(source: Path, on: str) -> Callable[[], Trial]:
        return lambda: run_shoal(source, work, on)

    few = work / f"few-{folder.name}"
    tiny = list(some(folder, few, slice(64)))
    sides: dict[str, Callable[[], Trial]] = {
        "shoal": embed(folder, options.on),
        "bare": lambda: fresh([LOOPS, "bare", folder, network]),
        "plain": lambda: fresh([LOOPS, "plain", folder, network]),
    }
    count = len(files(folder))
    steady = options.on != "local" and count > 20 * len(tiny)
    if steady:
        sides["shoal_few"] = embed(few, "ray")
    if decode:
        sides["decode_shoal"] = lambda: fresh([LOOPS, "decode-shoal", folder])
        sides["decode_plain"] = lambda: fresh([LOOPS, "decode-plain", folder])
    trials = take_turns(sides, rounds, watch=not options.quick)
    result: dict[str, Any] = {"images": count, "trials": trials, **quiet(trials)}
    result["rates"] = rates(trials, count) | ({"shoal_steady": steady_rate(trials, count, len(tiny))} if steady else {})
    return result


def run_shoal(source: Path, work: Path, on: str) -> Trial:
    """Run the pipeline into a new folder; return its seconds, whole and by step."""
    out = work / "out"
    trial = shoal_run(work / "pipeline.yaml", source, "--out", out, "--on", on)
    shutil.rmtree(out)
    record = trial.pop("record")
    steps = {f"{step['step']}_seconds": step["seconds"] for step in record["steps"]}
    return {**trial, **steps, "where": record["steps"][-1]["where"], "embedded": record["steps"][-1]["computed"]}


def rates(trials: Mapping[str, Sequence[Trial]], count: int) -> dict[str, float]:
    """Return images a second of each, without and with the start."""
    found = {"shoal": count / median(trials["shoal"], "work")}
    for name in ("bare", "plain", "decode_shoal", "decode_plain"):
        if name in trials:
            found[name] = count / median(trials[name], "seconds")
    return found | {f"{name}_with_start": count / median(trials[name], "wall") for name in ("shoal", "bare", "plain")}


def steady_rate(trials: Mapping[str, Sequence[Trial]], count: int, few: int) -> float:
    return (count - few) / (median(trials["shoal"], "work") - median(trials["shoal_few"], "work"))


def ratio(trials: Mapping[str, Sequence[Trial]], ours: tuple[str, str], theirs: tuple[str, str]) -> float:
    """Return how many times faster ours is: the median of the ratios within each turn."""
    (side, seconds), (other, others) = ours, theirs
    return float(middle(rival[others] / own[seconds] for own, rival in zip(trials[side], trials[other], strict=True)))


def figures(small: dict[str, Any], big: dict[str, Any], options: argparse.Namespace) -> list[Figure]:
    work, wall = ("shoal", "work"), ("shoal", "wall")
    kinds = [(small, f"{small['images']:,} JPEG files, 640 x 480"), (big, f"{big['images']:,} JPEG files, 12 megapixels")]
    found = []
    for result, what in kinds:
        trials, speeds = result["trials"], result["rates"]
        first = result is small
        found += [
            Figure(f"{what}: shoal, start-up excluded", speeds["shoal"], "images/s"),
            Figure(f"{what}: best bare loop", speeds["bare"], "images/s"),
            Figure(f"{what}: plain script", speeds["plain"], "images/s"),
            Figure(
                f"{what}: shoal / best bare loop, start-up excluded", ratio(trials, work, ("bare", "seconds")),
                at_least=0.9 if first else None,
            ),
            Figure(f"{what}: the same, start-up of everything included", ratio(trials, wall, ("bare", "wall"))),
            Figure(
                f"{what}: shoal / plain script, start-up excluded", ratio(trials, work, ("plain", "seconds")),
                at_least=1.5 if first else None,
            ),
            Figure(f"{what}: the same, start-up of everything included", ratio(trials, wall, ("plain", "wall"))),
        ]  # fmt: skip
        if "shoal_steady" in speeds:
            found.append(Figure(f"{what}: shoal, steady / best bare loop", speeds["shoal_steady"] / speeds["bare"]))
    decoding = ratio(big["trials"], ("decode_shoal", "seconds"), ("decode_plain", "seconds"))
    return [*found, Figure(f"{kinds[1][1]}: shoal's decoding / plain script's, one thread", decoding, at_least=4)]


if __name__ == "__main__":
    main()
