"""Measures tuning on the 214 photos: what it finds without labels, and what candidates side by side save.

    python benchmarks/tuning.py [--quick] [--budget 100] [--rounds 3] [--seeds 5]

Each tuning runs in a fresh process, features included, with the default space; the clusters' true classes (the photos'
folders) are only looked at afterwards. A candidate alone is a fresh `shoal tune --budget 1` with features kept and nothing
else. The first features are those of images as they are (`--set embed.prepare={}`); the others those of the recipe, which
takes the colours away that tell these classes apart.

What is found depends on chance: on the seed of the search, and on the machine, whose rounding leads UMAP elsewhere. So it is
searched by several seeds, all over the same features and reductions.
"""

import argparse
import csv
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from common import Figure, Trial, finish, fresh, median, parser, photo_set, quiet, shoal, take_turns
from pictures import crops

RECIPE = "structural-clusters"
PLAIN = ("--set", "embed.prepare={}")


def main() -> None:
    options = arguments()
    photos = crops(photo_set(options.photos), options.cache, 12) if options.quick else photo_set(options.photos)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        features = place / "features"
        tuned(photos, features, 1)
        shutil.rmtree(features / "tables")
        sides = {
            "tuning": lambda: tuned(photos, place / "out", options.budget, keep=place / "kept"),
            "alone": lambda: alone(photos, features, place / "alone"),
        }
        trials = take_turns(sides, options.rounds, watch=not options.quick)
        whole = {"prepared": lambda: tuned(photos, place / "prepared", options.budget, given=())}
        trials |= take_turns(whole, 1, watch=not options.quick)
        state = quiet(trials)  # of what is timed
        trials["tuning seeds"] = searched(photos, place / "out", options, PLAIN)
        trials["prepared seeds"] = searched(photos, place / "prepared", options, ())
        rows = table(place / "kept")
    finish(options, "Tuning", figures(trials, rows), {"trials": trials, "candidates": rows, **state})


def arguments() -> argparse.Namespace:
    made = parser(__doc__, "tuning")
    made.add_argument("--budget", type=int, default=100)
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--seeds", type=int, default=5, help="searches of each kind of features")
    options = made.parse_args()
    if options.quick:
        options.budget, options.rounds, options.seeds = 4, 1, 2
    return options


def tuned(photos: Path, out: Path, budget: int, keep: Path | None = None, given: Sequence[str] = PLAIN) -> Trial:
    """Tune into a new folder; keep its results."""
    shutil.rmtree(out, ignore_errors=True)
    return _timed(photos, out, budget, keep, given)


def alone(photos: Path, features: Path, out: Path) -> Trial:
    """Evaluate one candidate over features that are kept."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(features, out)
    return _timed(photos, out, 1, None, PLAIN)


def searched(photos: Path, out: Path, options: argparse.Namespace, given: Sequence[str]) -> list[Trial]:
    """Search by the other seeds, over the features and reductions that the first search left."""
    found = [_timed(photos, out, options.budget, None, (*given, "--seed", str(seed))) for seed in range(1, options.seeds)]
    return [{**trial, "others": 0.0} for trial in found]  # nobody is timed


def _timed(photos: Path, out: Path, budget: int, keep: Path | None, given: Sequence[str]) -> Trial:
    words = ["tune", RECIPE, photos, "--out", out, *given, "--budget", str(budget), "--truth", "folder", "--json"]
    trial = fresh(shoal(*words), environment={"SHOAL_MLFLOW": "off"})
    if keep is not None:
        shutil.rmtree(keep, ignore_errors=True)
        shutil.copytree(out / "tuning", keep)
    best = trial["best"]
    return {"wall": trial["wall"], "evaluated": trial["evaluated"], "score": best["score"], "ari": best["ari"]}


def table(folder: Path) -> list[dict[str, str]]:
    """Return the scored candidates of a tuning."""
    with (folder / "tuning_results_all.csv").open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["score"]]


def figures(trials: dict[str, list[Trial]], rows: list[dict[str, str]]) -> list[Figure]:
    scores, truth = ([float(row[name]) for row in rows] for name in ("score", "ari"))
    each = trials["tuning"][0]["evaluated"]
    share = median(trials["tuning"], "wall") / (each * median(trials["alone"], "wall"))
    what = f"ARI of the best of {each} candidates, found without labels"
    return [
        *agreement(f"{what}, images as they are (`--set embed.prepare={{}}`)", trials, "tuning"),
        Figure("the highest ARI among the candidates of the first search", max(truth)),
        Figure("rank correlation of score and ARI there", rank_correlation(scores, truth)),
        *agreement(f"{what}, the recipe as it is (grey, CLAHE, polarity ignored)", trials, "prepared"),
        Figure(f"{each} candidates, whole process, features included", median(trials["tuning"], "wall"), "s"),
        Figure("one candidate alone from kept features, whole process", median(trials["alone"], "wall"), "s"),
        Figure(f"{each} candidates together / {each} x one alone", share, at_most=0.6),
    ]


def agreement(what: str, trials: dict[str, list[Trial]], side: str) -> list[Figure]:
    """Return the figures of all searches of a side: how the middle one came out, and the worst and the best."""
    found = [float(trial["ari"]) for trial in (trials[side][0], *trials[f"{side} seeds"])]
    return [
        Figure(f"{what}: median of {len(found)} searches", statistics.median(found), at_least=0.85),
        Figure("the lowest of them", min(found)),
        Figure("the highest of them", max(found)),
    ]


def rank_correlation(first: list[float], second: list[float]) -> float:
    """Return Spearman's rank correlation."""
    return statistics.correlation(_ranks(first), _ranks(second)) if len(set(first)) > 1 < len(set(second)) else 0.0


def _ranks(values: list[float]) -> list[float]:
    order = sorted(values)
    return [order.index(value) + (order.count(value) - 1) / 2 for value in values]


if __name__ == "__main__":
    main()
