import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from shoal.export import export
from shoal.pipeline import parse


def test_a_real_run_is_exported_as_a_workflow(run, images, host, tmp_path: Path):
    export(run, "workflow", tmp_path)
    ids = {hashlib.sha256(path.read_bytes()).hexdigest() for path in images.glob("*.png") if path.name != "broken.png"}
    index = json.loads((tmp_path / "S0_image_index.json").read_text())
    assert index.keys() == ids
    assert json.loads((tmp_path / "S1_ids.json").read_text()) == sorted(ids)
    assert np.load(tmp_path / "S1_embeddings.npy").shape == (5, 3)
    with (tmp_path / "S2_clustering.csv").open(newline="") as file:
        clusters = {Path(row["path"]).name: row["cluster"] for row in csv.DictReader(file)}
    assert clusters["blue.png"] == "2"
    assert clusters["grey.png"] == "-1"
    samples = json.loads((tmp_path / "S3_sampled_images.json").read_text())
    assert [len(chosen) for chosen in samples.values()] == [2, 1]
    assert "'=HYPERLINK(0)" in (tmp_path / "S5_cluster_labels.csv").read_text()
    assert len((tmp_path / "S8_organization_log.txt").read_text().splitlines()) == 6
    assert parse((tmp_path / "run_config.yaml").read_text(), host) == run.pipeline


def test_a_real_run_is_exported_as_tables(run, tmp_path: Path):
    export(run, "csv", tmp_path)
    export(run, "parquet", tmp_path)
    with (tmp_path / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    assert {row["label"] for row in rows} == {"'=HYPERLINK(0)", "'=HYPERLINK(2)", ""}
    with (tmp_path / "files.csv").open(newline="") as file:
        status = {Path(row["path"]).name: (row["status"], row["reason"]) for row in csv.DictReader(file)}
    assert len(status) == 8
    assert status["notes.txt"] == ("filtered", "is no picture, by its ending")
    assert status["broken.png"][0] == "failed"
    assert pq.read_table(tmp_path / "images.parquet").num_rows == 5
    assert pq.read_table(tmp_path / "files.parquet").num_rows == 8
    assert pq.read_table(tmp_path / "embed.parquet").num_rows == 5
