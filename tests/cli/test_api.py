"""The Python API does what the command line does."""

import pyarrow as pa
import pytest

import shoal
from shoal.errors import UsageError
from shoal.pipeline import load

from .conftest import Made

pytestmark = pytest.mark.processes

LOCAL = shoal.RunOptions(where="local")


def test_run_gives_tables_as_arrow(fresh: Made) -> None:
    run = shoal.run("small.yaml", "my photos", "out", overrides=["cluster.k=2"], options=LOCAL)
    assert isinstance(run, shoal.Run)
    clusters = run.table("cluster")
    assert isinstance(clusters, pa.Table)
    assert set(clusters["cluster"].to_pylist()) == {0, 1}
    assert run.images.num_rows == 9
    assert run.rejected.num_rows == 2
    assert run.joined(["path", "cluster", "label"]).column_names == ["id", "path", "cluster", "label"]
    opened = shoal.open("out", run.id)
    assert opened.record == run.record
    assert opened.table("embed").equals(run.table("embed"))


def test_a_pipeline_made_before_takes_overrides_too(fresh: Made) -> None:
    host = shoal.Host(allow=())
    pipeline = load("small.yaml", host)
    run = shoal.run(pipeline, fresh.photos, "out", overrides=["cluster.k=2"], options=LOCAL, host=host)
    assert run.record.clusters == 2
    assert run.pipeline.step("cluster").stage.model_dump()["k"] == 2
    assert pipeline.step("cluster").stage.model_dump()["k"] == 3


def test_a_missing_folder_leaves_nothing_behind(fresh: Made) -> None:
    with pytest.raises(UsageError, match="my phots does not exist"):
        shoal.run("small.yaml", "my phots", "out", options=LOCAL)
    assert not fresh.out.exists()
