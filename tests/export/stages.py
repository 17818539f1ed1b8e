"""A plugin of small stages, so that a real run can be exported without any built-in."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from shoal.contract import Batch, Context, ImageSpec
from shoal.hooks import hookimpl
from shoal.kinds import (
    Captioner,
    Clusterer,
    Distiller,
    Embedder,
    Indexer,
    Labeller,
    Organizer,
    Rescuer,
    Sampler,
    Visualizer,
)
from shoal.schema import columns
from tests.hostile import TEXTS


class Folder(Indexer):
    """Lists a folder."""

    name = "plain"

    def list_files(self, source: str):
        paths = sorted(str(path) for path in Path(source).iterdir())
        rows = [
            {"path": path, "bytes": Path(path).stat().st_size, "mtime_ns": Path(path).stat().st_mtime_ns} for path in paths
        ]
        for row in rows:
            row["reason"] = "is no picture, by its ending" if row["path"].endswith(".txt") else None
        yield pa.Table.from_pylist(rows, schema=self.produces())


class Mean(Embedder):
    """Takes the mean colour."""

    name = "mean"

    @property
    def size(self) -> int:
        return 3

    @property
    def image(self) -> ImageSpec:
        return ImageSpec(8, 8)

    def embed(self, images):
        return np.asarray([image.reshape(-1, 3).mean(axis=0) for image in images], dtype=np.float32)


class Brightest(Clusterer):
    """Groups by the strongest colour; grey is noise."""

    name = "brightest"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        vectors = np.asarray(rows["embedding"].to_pylist(), dtype=np.float32).reshape(-1, 3)
        grey = np.ptp(vectors, axis=1) < 10
        number = np.where(grey, -1, vectors.argmax(axis=1)).astype(np.int32)
        strength = np.where(grey, 0, 0.1).astype(np.float32)
        return pa.table([rows["id"], number, strength, strength], names=["id", "cluster", "strength", "outlier"])


class First(Sampler):
    """Takes the first two of each cluster."""

    name = "first"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        seen: dict[int, int] = {}
        picked = []
        for row in rows.select(["id", "cluster"]).to_pylist():
            rank = seen.get(row["cluster"], 0)
            seen[row["cluster"]] = rank + 1
            if row["cluster"] >= 0 and rank < 2:
                picked.append({"id": row["id"], "rank": rank})
        return pa.Table.from_pylist(picked, schema=pa.schema([("id", pa.string()), ("rank", pa.int32())]))


class Formula(Labeller):
    """Names every cluster as a spreadsheet formula."""

    name = "formula"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        numbers = sorted({row for row in rows["cluster"].to_pylist() if row >= 0})
        made = [{"cluster": n, "label": f"=HYPERLINK({n})", "reason": "a, b\nc"} for n in numbers]
        return pa.Table.from_pylist(made, schema=pa.schema([("cluster", pa.int32()), *self.produces()]))


class Flat(Organizer):
    """Puts every file into one folder a cluster."""

    name = "flat"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        made = [
            {"id": row["id"], "source": path, "target": f"{row['cluster']}/{Path(path).name}"}
            for row in rows.to_pylist()
            for path in row["paths"]
        ]
        return pa.Table.from_pylist(made, schema=pa.schema([("id", pa.string()), *self.produces()]))


class Nothing(Visualizer):
    """Draws nothing."""

    name = "nothing"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        return pa.table({"id": ["nothing"], "title": ["t"], "html": ["h"], "style": [""], "script": [""]})


class Lost(Sampler):
    """Picks the noise."""

    name = "lost"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        ids = [row["id"] for row in rows.select(["id", "cluster"]).to_pylist() if row["cluster"] < 0]
        return pa.table([ids, range(len(ids))], schema=pa.schema([("id", pa.string()), ("rank", pa.int32())]))


class Reads(Captioner):
    """Says the hostile text whose number an image's colour is, see `conftest.colour`."""

    name = "reads"

    @property
    def image(self) -> ImageSpec:
        return ImageSpec(8, 8)

    def map(self, batch: Batch) -> pa.Table:
        darkest = [int(image[0, 0].min()) for image in batch.images or ()]
        return pa.table({"caption": [TEXTS[number % 100] for number in darkest]}, schema=self.produces())


class Halves(Distiller):
    """Takes the caption and its first half as keywords."""

    name = "halves"

    def map(self, batch: Batch) -> pa.Table:
        words = [[text, text[: len(text) // 2]] for text in batch.rows["caption"].to_pylist()]
        return pa.table({"keywords": words}, schema=self.produces())


class Told(Labeller):
    """Names clusters by hostile texts, and says that it told the second apart from the first."""

    name = "told"

    def produces(self) -> pa.Schema:
        told = columns(first_label=pa.string(), told_apart_from=pa.list_(pa.string()))
        return pa.schema([*super().produces(), *told])

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        numbers = sorted({number for number in rows["cluster"].to_pylist() if number >= 0})
        made = [
            {
                "cluster": n,
                "label": f"{TEXTS[n]} {n}",
                "reason": TEXTS[n + 3],
                "first_label": TEXTS[0],
                "told_apart_from": [TEXTS[n]],
            }
            for n in numbers
        ]
        return pa.Table.from_pylist(made, schema=pa.schema([("cluster", pa.int32()), *self.produces()]))


class Guess(Rescuer):
    """Suggests cluster 0 for every second noise image."""

    name = "guess"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        made = []
        for place, row in enumerate(row for row in rows.select(["id", "cluster"]).to_pylist() if row["cluster"] < 0):
            score = 0.75 - place / 100
            made.append(
                {
                    "id": row["id"], "suggested": None if place % 2 else 0, "best": 0, "score": score, "runner_up": 2,
                    "runner_up_score": 0.5, "margin": score - 0.5, "nearest": 2 * (place % 4 == 0), "nearest_score": 0.9,
                }
            )  # fmt: skip
        return pa.Table.from_pylist(made, schema=pa.schema([("id", pa.string()), *self.produces()]))


@hookimpl
def shoal_stages():
    return (
        Folder, Mean, Brightest, First, Formula, Flat, Nothing, Lost, Reads, Halves, Told, Guess,
    )  # fmt: skip
