"""The kit names each broken rule of map stages."""

import random
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal.contract import Batch, Context
from shoal.testing import check_stage

from .stages import Mean, Norm, importable, refuses


class TestMaps:
    """Rules of map stages."""

    def test_an_answer_that_depends_on_the_batch(self) -> None:
        class Centred(Mean):
            def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
                rows = super().embed(images)
                return rows - rows.mean(axis=0) if len(rows) > 1 else rows

        refuses(importable(Centred)(), "depends on its batch, .* 1 at a time: row 0 of 'embedding' differs")

    def test_rounding_is_allowed_only_when_asked_for(self) -> None:
        class Rounding(Mean):
            def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
                return super().embed(images) + np.float32(1e-4 * len(images))

        stage = importable(Rounding)()
        refuses(stage, "atol is 0")
        check_stage(stage, atol=1e-2)

    def test_rows_that_are_dropped(self) -> None:
        class Dropping(Norm):
            def map(self, batch: Batch) -> pa.Table:
                return super().map(batch).slice(1)

        refuses(importable(Dropping)(), "returned 6 rows for all rows in one batch, which are 7")

    def test_rows_in_another_order(self) -> None:
        class Sorting(Norm):
            def map(self, batch: Batch) -> pa.Table:
                return super().map(batch).sort_by("norm")

        refuses(importable(Sorting)(), "(order|depends on its batch)")

    def test_another_type(self) -> None:
        class Wide(Norm):
            def map(self, batch: Batch) -> pa.Table:
                table = super().map(batch)
                return pa.table({"norm": table["norm"].cast(pa.float64())})

        refuses(importable(Wide)(), "column 'norm' is double, produces.. says float")

    def test_another_nullability(self) -> None:
        class Strict(Norm):
            def map(self, batch: Batch) -> pa.Table:
                table = super().map(batch)
                return table.cast(pa.schema([pa.field("norm", pa.float32(), nullable=False)]))

        refuses(importable(Strict)(), "column 'norm' is not nullable, produces.. says nullable")

    def test_no_table(self) -> None:
        class Dict(Norm):
            def map(self, batch: Batch) -> pa.Table:
                return super().map(batch).to_pydict()

        refuses(importable(Dict)(), "must return a pyarrow Table, and returned dict")

    def test_an_empty_batch(self) -> None:
        class Stacking(Mean):
            def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
                super().embed(images)
                return np.stack([np.full(3, len(image), dtype=np.float32) for image in images])

        refuses(importable(Stacking)(), "map raised on an empty batch: ValueError")

    def test_pixels_that_are_changed(self) -> None:
        class Painting(Mean):
            def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
                for image in images:
                    image[...] = 7
                return super().embed(images)

        refuses(importable(Painting)(), "changes the pixels")

    def test_not_a_number(self) -> None:
        class Unknown(Norm):
            def map(self, batch: Batch) -> pa.Table:
                return pa.table([pa.array([float("nan")] * len(batch), pa.float32())], schema=self.produces())

        refuses(importable(Unknown)(), "'norm' holds NaN")

    def test_a_bad_row_that_comes_back_as_nan(self) -> None:
        class Silent(Mean):
            def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
                rows = [image.reshape(-1, 3).mean(axis=0) if image.size else np.full(3, np.nan) for image in images]
                return np.asarray(rows, dtype=np.float32).reshape(len(rows), 3)

        refuses(importable(Silent)(), "a row that can't be answered must raise")

    def test_a_bad_row_that_poisons_what_follows(self) -> None:
        class Sulking(Mean):
            def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
                if any(image.size == 0 for image in images):
                    self._table = None
                rows = super().embed(images)
                return rows if self._table is not None else rows + 1

        refuses(importable(Sulking)(), "a bad row disturbs the rows after it")

    def test_a_bad_row_that_moves_the_others(self) -> None:
        class Skipping(Mean):
            def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
                rows = super().embed([image for image in images if image.size])
                return np.concatenate([rows, np.zeros((len(images) - len(rows), 3), dtype=np.float32)])

        refuses(importable(Skipping)(), "a bad row disturbs the other rows")

    def test_a_worker_that_answers_otherwise(self) -> None:
        class Random(Mean):
            def setup(self, context: Context) -> None:
                self._table = random.random()

            def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
                return super().embed(images) + np.float32(self._table)

        refuses(importable(Random)(), "a copy on another worker answers otherwise")
