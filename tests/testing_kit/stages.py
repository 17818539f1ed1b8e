"""A good stage of every shape, and what the tests of the kit share."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from shoal.contract import Batch, Context, ImageSpec, MapStage, Stage
from shoal.errors import UsageError
from shoal.kinds import LISTING, Clusterer, Embedder, Indexer, Labeller, Organizer, Reducer, Sampler, Visualizer
from shoal.schema import columns, vector
from shoal.testing import check_stage
from shoal.vectors import to_numpy


class Mean(Embedder):
    """A good embedder: the mean colour."""

    name = "mean"
    bins: Literal["one", "two"] = Field("one", description="unused")
    scale: float = Field(1.0, gt=0, description="factor")
    _table: Any = PrivateAttr(None)

    @property
    def size(self) -> int:
        return 3

    @property
    def image(self) -> ImageSpec:
        return ImageSpec(16, 12, fit="inside")

    def setup(self, context: Context) -> None:
        self._table = np.ones(1000, dtype=np.float32)

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if any(image.size == 0 for image in images):
            raise ValueError("an image without pixels")
        rows = [image.reshape(-1, 3).mean(axis=0) * self.scale for image in images]
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), 3)


class Norm(MapStage):
    """A good map stage on columns."""

    kind, name = "measure", "norm"
    consumes = columns(embedding=vector())

    def produces(self) -> pa.Schema:
        return columns(norm=pa.float32())

    def map(self, batch: Batch) -> pa.Table:
        column = batch.rows["embedding"]
        if column.null_count:
            raise ValueError("null")
        return pa.table([pa.array(np.linalg.norm(to_numpy(column), axis=1))], schema=self.produces())


class Sign(Clusterer):
    """A good clusterer: by the sign of the first component."""

    name = "sign"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        first = to_numpy(rows["embedding"])[:, 0] > 0 if rows.num_rows else np.empty(0, dtype=bool)
        cluster = first.astype(np.int32) if 2 * first.sum() <= len(first) else 1 - first.astype(np.int32)
        cluster -= int(len(cluster) and cluster.min())
        ones = np.ones(len(cluster), dtype=np.float32)
        return table_of(self, rows["id"], cluster, ones, 0 * ones)


class Places(Organizer):
    """A good organizer."""

    name = "places"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        trios = [(i, p, f"{i[:8]}/{k}") for i, ps in pairs(rows) for k, p in enumerate(ps)]
        return table_of(self, *([list(part) for part in zip(*trios, strict=True)] or [[], [], []]))


class Words(Labeller):
    """A good labeller."""

    name = "words"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        found = sorted(set(rows["cluster"].to_pylist()) - {-1})
        return table_of(self, found, [f"c{c}" for c in found], ["counted"] * len(found))


class First(Sampler):
    """A good sampler."""

    name = "first"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        firsts: dict[int, str] = {}
        for row_id, cluster in zip(rows["id"].to_pylist(), rows["cluster"].to_pylist(), strict=True):
            if cluster >= 0:
                firsts.setdefault(cluster, row_id)
        return table_of(self, list(firsts.values()), [0] * len(firsts))


class Cut(Reducer):
    """A good reducer."""

    name = "cut"

    @property
    def size(self) -> int:
        return 2

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        return table_of(self, rows["id"], to_numpy(rows["embedding"])[:, :2].tolist() if rows.num_rows else [])


class Count(Visualizer):
    """A good visualizer."""

    name = "count"
    optional = columns(thumbnail=pa.binary())

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        assert context.folder is not None
        (context.folder / "a.txt").write_text("a")
        html = f'<p>{rows.num_rows}</p><img src="files/a.txt">'
        return table_of(self, ["count"], ["Count"], [html], [""], [""])


class Walk(Indexer):
    """A good indexer."""

    name = "walk"

    def list_files(self, source: str) -> Iterator[pa.Table]:
        if not os.path.isdir(source):
            raise UsageError(f"{source} is no folder")
        files = sorted(path for path in Path(source).rglob("*") if path.is_file())
        yield pa.Table.from_pylist([listed(path) for path in files], schema=LISTING)


def listed(path: Path) -> dict[str, Any]:
    kept = path.suffix == ".jpg"
    return {"path": str(path), "bytes": path.stat().st_size, "reason": None if kept else "no image", "failed": False}


def pairs(rows: pa.Table) -> list[tuple[str, list[str]]]:
    return list(zip(rows["id"].to_pylist(), rows["paths"].to_pylist(), strict=True))


def table_of(stage: Stage, key: Any, *values: Any) -> pa.Table:
    kinds = [pa.string() if stage.key == "id" else pa.int32(), *stage.produces().types]
    pairs = zip((key, *values), kinds, strict=True)
    arrays = [value if isinstance(value, pa.ChunkedArray) else pa.array(value, kind) for value, kind in pairs]
    return pa.table(arrays, names=[stage.key, *stage.produces().names])


GOOD: tuple[type[Stage], ...] = (Mean, Norm, Sign, Places, Words, First, Cut, Count, Walk)


def refuses(stage: Stage, words: str, **given: Any) -> None:
    with pytest.raises(AssertionError, match=words) as caught:
        check_stage(stage, **given)
    assert stage.title() in str(caught.value)
    assert "\n" not in str(caught.value)


def importable(cls: type[Any]) -> type[Any]:
    """Put a class that is defined inside a test where pickle finds it."""
    cls.__qualname__ = cls.__name__
    setattr(sys.modules[cls.__module__], cls.__name__, cls)
    return cls
