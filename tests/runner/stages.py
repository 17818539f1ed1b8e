"""Small real stages: enough for every path of the runner, and they count what they compute."""

import os
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from shoal.contract import Batch, Context, ImageSpec, MapStage, Stage
from shoal.errors import StageError
from shoal.hooks import hookimpl
from shoal.kinds import Clusterer, Embedder, Labeller, Reducer
from shoal.schema import columns, vector
from shoal.vectors import from_numpy, to_numpy


class Colours(Embedder):
    """Mean colour of each quarter."""

    name: ClassVar[str] = "colours"
    side: int = 16
    log: str | None = Field(None, description="File that gets a line an image.")
    stop_at: str | None = Field(None, description="Id at which it raises.")
    says: str = "this picture upsets me"
    broken: bool = Field(False, description="Fails in setup.")

    def identity(self) -> dict[str, object]:
        """Leave out what only the tests listen to."""
        found = super().identity()
        found["options"] = {"side": self.side}
        return found

    @property
    def image(self) -> ImageSpec:
        return ImageSpec(self.side, self.side, fit="stretch", resample="bilinear")

    @property
    def size(self) -> int:
        return 12

    def setup(self, context: Context) -> None:
        if self.broken:
            raise StageError("the weights of embed.colours are missing; run `paint` first")
        context.note("backend", "numpy")

    def embed(self, images: object) -> np.ndarray:
        half = self.side // 2
        quarters = [slice(0, half), slice(half, None)]
        rows = [[image[y, x].mean(axis=(0, 1)) for y in quarters for x in quarters] for image in images]  # type: ignore[attr-defined]
        return np.asarray(rows, dtype=np.float32).reshape(-1, 12)

    def map(self, batch: Batch) -> pa.Table:
        ids = batch.rows["id"].to_pylist()
        if self.stop_at in ids:
            raise ValueError(self.says)
        if self.log:
            with Path(self.log).open("a") as out:
                out.writelines(f"{os.getpid()} {image}\n" for image in ids)
        return super().map(batch)


class Brightness(MapStage):
    """A map stage over another map stage's column."""

    kind: ClassVar[str] = "measure"
    name: ClassVar[str] = "brightness"
    consumes: ClassVar[pa.Schema] = columns(embedding=vector())

    def produces(self) -> pa.Schema:
        return columns(brightness=pa.float32())

    def map(self, batch: Batch) -> pa.Table:
        return pa.table([pa.array(to_numpy(batch.rows["embedding"]).mean(axis=1))], schema=self.produces())


class Centre(Reducer):
    """Takes the mean off."""

    name: ClassVar[str] = "centre"

    @property
    def size(self) -> int:
        return 12

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        vectors = to_numpy(rows["embedding"])
        return pa.table({"id": rows["id"], "embedding": from_numpy(vectors - vectors.mean(axis=0))})


class Split(Clusterer):
    """Two clusters by one component; the darkest `noise` images are noise."""

    name: ClassVar[str] = "split"
    component: int = Field(0, ge=0)
    noise: int = Field(0, ge=0)

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        context.note("backend", "split")
        values = to_numpy(rows["embedding"])[:, self.component]
        cluster = (values > np.median(values)).astype(np.int32)
        cluster[np.argsort(values, kind="stable")[: self.noise]] = -1
        ones = np.ones(len(values), dtype=np.float32)
        return pa.table({"id": rows["id"], "cluster": cluster, "strength": ones, "outlier": 1 - ones})


class Numbered(Labeller):
    """Names clusters by number."""

    name: ClassVar[str] = "numbered"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        numbers = sorted(number for number in set(rows["cluster"].to_pylist()) if number >= 0)
        names = {"label": [f"group {number}" for number in numbers], "reason": ["by number"] * len(numbers)}
        return pa.table(
            {"cluster": pa.array(numbers, pa.int32()), **{key: pa.array(value, pa.string()) for key, value in names.items()}}
        )


class Liar(Clusterer):
    """Answers what it did not promise."""

    name: ClassVar[str] = "liar"
    how: str = "columns"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        ones = np.ones(rows.num_rows, dtype=np.float32)
        good = {"id": rows["id"], "cluster": ones.astype(np.int32), "strength": ones, "outlier": ones}
        if self.how == "columns":
            return pa.table({"id": rows["id"]})
        if self.how == "type":
            return pa.table({**good, "cluster": ones})
        if self.how == "twice":
            return pa.concat_tables([pa.table(good), pa.table(good)])
        if self.how == "fewer":
            return pa.table(good).slice(1)
        if self.how == "notes":
            context.note("eps", np.float32(0.3))
            context.note("thing", {1, 2})
            return pa.table(good)
        return pa.table({**good, "id": [f"x{name}" for name in rows["id"].to_pylist()]})


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    return (Colours, Brightness, Centre, Split, Numbered, Liar)
