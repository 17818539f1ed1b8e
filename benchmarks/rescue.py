"""Measures `rescue.captions` on photographs of known classes that are hidden in noise: precision and recall.

    python benchmarks/rescue.py [--quick] [--seeds 40] [--hidden 30] [--photos FOLDER_OF_CLASS_FOLDERS]

The photo set is run through `quickstart` once. Then, for each seed, 30 clustered photos are drawn and called noise;
representatives, labels and centroids are made anew without them, and the stage answers. A suggestion is right where most
members of the suggested cluster are of the photo's class (its folder). Precision is the share of suggestions that are right,
recall the share of all hidden photos that get a right one. Captions are those of `caption.tags`, of the representatives and
the noise as in the recipe `semantic-cluster`, or of all images (`caption.only=all`); labels those of `label.keywords` or
`label.tags`. The file has the curve over thresholds, with and without the picture's agreement, and what the picture says
alone (the nearest centroid).
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from common import Figure, finish, parser, photo_set, shoal_run

import shoal
from shoal.contract import Batch, Context
from shoal_plugins.caption.tags import Tags as CaptionTags
from shoal_plugins.distil.words import Words
from shoal_plugins.label.keywords import Keywords
from shoal_plugins.label.tags import Tags
from shoal_plugins.rescue.captions import Captions
from shoal_plugins.sample.nearest import Nearest

THRESHOLDS = [round(0.05 * step, 2) for step in range(4, 19)]
CONTEXT = Context(threads=os.cpu_count() or 1)
PER_CLUSTER = 5
"""Representatives of a cluster, as the recipe says."""
SETTINGS = [(labels, which) for which in ("representatives", "all") for labels in ("label.keywords", "label.tags")]


@dataclass(frozen=True)
class Photos:
    """The set, once clustered: `rows` has id, cluster, embedding, probabilities, caption, keywords."""

    rows: pa.Table
    classes: np.ndarray

    @property
    def clusters(self) -> np.ndarray:
        return self.rows["cluster"].to_numpy()


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        photos = prepare(photo_set(options.photos), Path(scratch))
    details: dict[str, Any] = {
        "photos": len(photos.classes),
        "hidden": options.hidden,
        "seeds": options.seeds,
        "settings": [],
    }
    for labels, which in SETTINGS:
        answers = [hide(photos, seed, options.hidden, labels, which) for seed in range(options.seeds)]
        details["settings"].append({"labels": labels, "captions": which, **summary(answers)})
        print(labels, which, details["settings"][-1]["default"], file=sys.stderr, flush=True)
    finish(options, "Noise rescue: photographs hidden in noise", figures(details["settings"]), details)


def arguments() -> argparse.Namespace:
    made = parser(__doc__, "rescue")
    made.add_argument("--seeds", type=int, default=40)
    made.add_argument("--hidden", type=int, default=30)
    options = made.parse_args()
    if options.quick:
        options.seeds, options.hidden = 1, 3
    return options


def prepare(folder: Path, work: Path) -> Photos:
    """Run `quickstart` over the photos and say of each what there is to say."""
    shoal_run("quickstart", folder, "--out", work / "out")
    rows = shoal.open(work / "out").joined(["path", "paths", "cluster", "embed.embedding", "tags.probabilities"])
    rows = rows.rename_columns(["id", "path", "paths", "cluster", "embedding", "probabilities"])
    rows = rows.append_column("caption", mapped(CaptionTags(), rows)["caption"])
    rows = rows.append_column("keywords", mapped(Words(), rows)["keywords"])
    return Photos(rows, np.array([Path(path).parent.name for path in rows["path"].to_pylist()]))


def mapped(stage: Any, rows: pa.Table) -> pa.Table:
    """Return the answer of a map stage that needs no pixels."""
    stage.setup(CONTEXT)
    return stage.map(Batch(rows.select(["id", *stage.consumes.names])))


@dataclass(frozen=True)
class Answer:
    """What the stage says of one seed's hidden photos: arrays, a value a photo; -1 where it names no cluster."""

    default: np.ndarray
    best: np.ndarray
    score: np.ndarray
    nearest: np.ndarray
    nearest_score: np.ndarray
    truth: np.ndarray
    majority: dict[int, str]

    def right(self, clusters: np.ndarray) -> np.ndarray:
        return np.array([self.majority.get(int(number)) == name for number, name in zip(clusters, self.truth, strict=True)])


def hide(photos: Photos, seed: int, count: int, labels: str, which: str) -> Answer:
    """Call some photos noise, describe the clusters without them, and ask."""
    clusters = photos.clusters.copy()
    inside = np.flatnonzero(clusters >= 0)
    hidden = np.sort(np.random.default_rng(seed).choice(inside, min(count, len(inside)), replace=False))
    clusters[hidden] = -1
    rows = photos.rows.set_column(
        photos.rows.column_names.index("cluster"), "cluster", pa.array(clusters, pa.int32())
    ).combine_chunks()
    rows = described(rows, labels, which)
    answer = ask(rows, Captions(), hidden)
    majority = {
        int(c): Counter(photos.classes[clusters == c]).most_common(1)[0][0] for c in np.unique(clusters[clusters >= 0])
    }
    return Answer(
        numbers(answer["suggested"]), numbers(answer["best"]), values(answer["score"]), numbers(answer["nearest"]),
        values(answer["nearest_score"]), photos.classes[hidden], majority,
    )  # fmt: skip


def described(rows: pa.Table, labels: str, which: str) -> pa.Table:
    """Return the rows with labels, and with captions where the recipe makes them."""
    if which == "representatives":
        picked = (
            Nearest(per_cluster=PER_CLUSTER).run(rows.select(["id", "embedding", "cluster"]), CONTEXT)["id"].combine_chunks()
        )
        wanted = pc.or_(pc.is_in(rows["id"], value_set=picked), pc.less(rows["cluster"], 0))
        for name in ("caption", "keywords"):
            place = rows.column_names.index(name)
            column = pc.if_else(wanted, rows[name], pa.scalar(None, rows[name].type))
            rows = rows.set_column(place, name, column)
    stage = Keywords() if labels == "label.keywords" else Tags()
    table = stage.run(rows, CONTEXT)
    return rows.append_column("label", table["label"].take(pc.index_in(rows["cluster"], value_set=table["cluster"])))


def ask(rows: pa.Table, stage: Captions, hidden: np.ndarray) -> pa.Table:
    """Return the stage's answer for the hidden photos."""
    stage.setup(CONTEXT)
    answer = stage.run(rows.select(["id", "cluster", "embedding", "caption", "label"]), CONTEXT)
    return answer.take(pc.index_in(rows["id"].take(pa.array(hidden)), value_set=answer["id"].combine_chunks()))


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    return pc.fill_null(column, -1).to_numpy()


def values(column: pa.ChunkedArray) -> np.ndarray:
    return pc.fill_null(column, -2.0).to_numpy()


def summary(answers: list[Answer]) -> dict[str, Any]:
    """Return precision and recall over all seeds: at the default, along thresholds, and of the nearest centroid alone."""
    return {
        "default": quality(answers, lambda a: a.default),
        "by_seed": [quality([answer], lambda a: a.default) for answer in answers],
        "curve": [{"threshold": t, **quality(answers, lambda a, t=t: only(a.best, a.score >= t))} for t in THRESHOLDS],
        "curve_agreed": [
            {"threshold": t, **quality(answers, lambda a, t=t: only(a.best, (a.score >= t) & (a.best == a.nearest)))}
            for t in THRESHOLDS
        ],
        "nearest_centroid": quality(answers, lambda a: a.nearest),
        "nearest_centroid_curve": [
            {"threshold": t, **quality(answers, lambda a, t=t: only(a.nearest, a.nearest_score >= t))} for t in THRESHOLDS
        ],
    }


def only(clusters: np.ndarray, sure: np.ndarray) -> np.ndarray:
    return np.where(sure, clusters, -1)


def quality(answers: list[Answer], suggest: Any) -> dict[str, float]:
    """Return precision, recall and the counts that they come from; precision of no suggestion is 0."""
    suggested = [suggest(answer) for answer in answers]
    given = int(sum((clusters >= 0).sum() for clusters in suggested))
    right = int(sum(answer.right(clusters).sum() for answer, clusters in zip(answers, suggested, strict=True)))
    hidden = sum(len(answer.truth) for answer in answers)
    return {"precision": right / max(given, 1), "recall": right / max(hidden, 1), "given": given, "right": right}


def figures(settings: list[dict[str, Any]]) -> list[Figure]:
    """Return the lines of the docs: what the recipe does against its targets, the others beside it."""
    lines = []
    for place, setting in enumerate(settings):
        what = f"{setting['labels']}, captions of {setting['captions'].replace('all', 'all images')}"
        bounds = (0.9, 0.6) if place == 0 else (None, None)
        lines.append(Figure(f"{what}: precision", setting["default"]["precision"], at_least=bounds[0]))
        lines.append(Figure(f"{what}: recall", setting["default"]["recall"], at_least=bounds[1]))
    alone = settings[0]["nearest_centroid"]
    (agreed,) = (point for point in settings[0]["curve_agreed"] if point["threshold"] == Captions().threshold)
    lines.append(Figure(f"{settings[0]['labels']}, where the nearest centroid agrees: precision", agreed["precision"]))
    lines.append(Figure(f"{settings[0]['labels']}, where the nearest centroid agrees: recall", agreed["recall"]))
    return [*lines, Figure("nearest centroid alone: precision and recall", alone["precision"])]


if __name__ == "__main__":
    main()
