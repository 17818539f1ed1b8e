"""Rows and images made for a stage."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest

from shoal.contract import TableStage
from shoal.schema import columns, vector
from shoal.testing import check_stage, sample_images, sample_rows
from shoal.vectors import to_numpy

from .stages import GOOD, Mean, Norm, Places, Sign


class TestSamples:
    """Rows and images made for a stage."""

    def test_rows_fit_every_kind(self) -> None:
        for kind in GOOD:
            if issubclass(kind, TableStage):
                rows = sample_rows(kind(), 12)
                assert rows.column_names == ["id", *kind.consumes.names, *kind.optional.names]
                assert rows["id"].to_pylist() == sorted(set(rows["id"].to_pylist()))
                assert all(rows[name].null_count == 0 for name in kind.consumes.names)

    def test_rows_are_those_of_the_seed(self) -> None:
        assert sample_rows(Sign(), 9, seed=1).equals(sample_rows(Sign(), 9, seed=1))
        assert not sample_rows(Sign(), 9, seed=1).equals(sample_rows(Sign(), 9, seed=2))

    def test_columns_agree(self) -> None:
        rows = sample_rows(Places(), 40)
        pairs = set(zip(rows["cluster"].to_pylist(), rows["label"].to_pylist(), strict=True))
        assert pairs == {(-1, None), (0, "label 0"), (1, "label 1"), (2, "label 2")}

    def test_every_simple_type_has_a_value(self) -> None:
        class Wide(Sign):
            consumes: ClassVar[pa.Schema] = columns(
                flag=pa.bool_(), number=pa.int64(), share=pa.float64(), word=pa.string(), data=pa.binary(), day=pa.date32(),
                time=pa.timestamp("us"), probabilities=vector(10), words=pa.list_(pa.string()),
                box=pa.struct([("x", pa.int32())]),
                cluster=pa.string(), label=pa.string(), thumbnail=pa.binary(), pair=pa.list_(pa.int8(), 2),
            )  # fmt: skip

        rows = sample_rows(Wide(), 6)
        assert all(rows.schema.field(field.name).type.equals(field.type) for field in Wide.consumes)
        np.testing.assert_allclose(to_numpy(rows["probabilities"]).sum(axis=1), 1, rtol=1e-5)
        assert rows["thumbnail"][0].as_py().startswith(b"\xff\xd8")
        assert rows["label"].null_count == 0

    def test_a_type_without_a_value(self) -> None:
        class Odd(Sign):
            consumes: ClassVar[pa.Schema] = columns(odd=pa.duration("s"))

        with pytest.raises(ValueError, match="pass your own rows"):
            sample_rows(Odd(), 3)

    def test_images_are_as_asked_for(self) -> None:
        images = sample_images(Mean(), 4)
        assert [image.shape for image in images] == [(12, 16, 3), (6, 16, 3), (12, 16, 3), (6, 16, 3)]
        assert len({image.tobytes() for image in images}) == 4
        with pytest.raises(ValueError, match="asks for no pixels"):
            sample_images(Norm(), 4)

    def test_wrong_rows_are_the_callers_fault(self) -> None:
        with pytest.raises(ValueError, match="lack the column 'embedding'"):
            check_stage(Sign(), pa.table({"id": ["a"]}))
        with pytest.raises(ValueError, match="at least 3 rows"):
            check_stage(Norm(), sample_rows(Norm(), 2))
        with pytest.raises(ValueError, match="2 images for 7 rows"):
            check_stage(Mean(), sample_rows(Mean(), 7), sample_images(Mean(), 2))
