"""Measures captioning through a shoal worker against the same engine called bare, on a tiny model.

    python benchmarks/captions.py [--quick] [--images 500] [--rounds 3] [--engines transformers vllm]

JPEG files of 640 x 480, made from the photo set, and a LLaVA of 2 MB with random weights, so that what shoal adds is as
large a part as it can be. The two sides take turns in fresh processes, and both begin with the model loaded. shoal: the
worker of a map pass (it reads, hashes and decodes the files, asks the stage, keeps captions as Parquet). Bare: Pillow
decodes and shrinks the same files, and the engine is called as its documentation says, with the same prompt, greedily:
transformers image by image, as shoal does on a CPU; vLLM with all images at once. vLLM has an environment of its own
(`make test-vllm` makes it) and is left out where that is missing. Figures are medians of the ratios within each turn.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median as middle
from typing import Any

from common import ROOT, Figure, Trial, finish, fresh, median, parser, photo_set, quiet, take_turns
from pictures import crops, files

ENGINES = ("transformers", "vllm")
SIDES = Path(__file__).parent / "captioning.py"
MAKE_MODEL = (
    "import sys; from pathlib import Path; from tests.models.tiny_vlm import make_tiny_vlm as make; make(Path(sys.argv[1]))"
)


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        model = work / "model"
        fresh(["-c", MAKE_MODEL, model], environment={"PYTHONPATH": str(ROOT)})
        folder = crops(photo_set(options.photos), options.cache, options.images)
        found = {name: measure(name, folder, model, work, options) for name in options.engines}
    finish(options, "Captions of a tiny LLaVA", figures(found), found)


def arguments() -> argparse.Namespace:
    made = parser(__doc__, "captions")
    made.add_argument("--images", type=int, default=500, help="files of 640 x 480")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    made.add_argument("--vllm", type=Path, default=ROOT / ".venv-vllm" / "bin" / "python", help="Python that has vLLM")
    options = made.parse_args()
    if options.quick:
        options.images, options.rounds, options.engines = 8, 1, ["transformers"]
    if "vllm" in options.engines and not options.vllm.exists():
        print("vllm is left out: `make test-vllm` makes its environment", file=sys.stderr)
        options.engines = [name for name in options.engines if name != "vllm"]
    return options


def measure(engine: str, folder: Path, model: Path, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Let both sides of an engine take turns; return trials, rates and the ratio."""
    python = options.vllm if engine == "vllm" else Path(sys.executable)

    def side(name: str) -> Callable[[], Trial]:
        return lambda: run(python, [SIDES, name, engine, folder, model, work / "rows"])

    trials = take_turns({name: side(name) for name in ("shoal", "bare")}, options.rounds, watch=not options.quick)
    answers = {trial.pop("digest") for side in trials.values() for trial in side}
    count = len(files(folder))
    rates = {name: count / median(turns, "seconds") for name, turns in trials.items()}
    return {
        "images": count, "trials": trials, "rates": rates, "ratio": ratio(trials, "seconds"),
        "cpu_ratio": ratio(trials, "cpu_seconds"), "same_captions": len(answers) == 1, **quiet(trials),
    }  # fmt: skip


def run(python: Path, words: Sequence[str | Path]) -> Trial:
    """Run a side in a fresh process of an environment."""
    shutil.rmtree(words[-1], ignore_errors=True)
    paths = [str(ROOT / part) for part in ("core", "plugins")]
    environment = {"PYTHONPATH": os.pathsep.join(paths), "VLLM_CPU_KVCACHE_SPACE": "1"}
    return fresh(words, environment=environment, python=python)


def ratio(trials: Mapping[str, Sequence[Trial]], what: str) -> float:
    """Return shoal's rate over the bare engine's, by the clock or by CPU time: the median of the ratios within each turn."""
    pairs = zip(trials["shoal"], trials["bare"], strict=True)
    return float(middle(bare[what] / own[what] for own, bare in pairs))


def figures(found: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
    made = []
    for engine, result in found.items():
        what = f"caption.{engine}, {result['images']:,} JPEG files, 640 x 480"
        made += [
            Figure(f"{what}: through a shoal worker", result["rates"]["shoal"], "captions/s"),
            Figure(f"{what}: the engine called bare", result["rates"]["bare"], "captions/s"),
            Figure(f"{what}: shoal / bare", result["ratio"], at_least=0.9),
        ]
    return made


if __name__ == "__main__":
    main()
