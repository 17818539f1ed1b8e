import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from shoal.errors import UsageError
from shoal.export import export
from shoal.export.writers import BLOCK, write_csv, write_vectors
from shoal.pipeline import Step
from shoal.schema import vector

from .memory import IDS, TABLES, VECTORS, Files, InMemory
from .stages import Brightest, Mean


def cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def names(files: list[Path]) -> list[str]:
    return [file.name for file in files]


def test_the_workflow_has_a_file_for_each_of_its_steps(tmp_path: Path):
    files = export(InMemory(), "workflow", tmp_path / "new" / "files")
    assert names(files) == [
        "S0_image_index.json",
        "S1_embeddings.npy",
        "S1_ids.json",
        "S2_clustering.csv",
        "S3_sampled_images.json",
        "S5_cluster_labels.csv",
        "S7_confirmed_moves.json",
        "S7_user_edits.log",
        "S8_organization_log.txt",
        "run_config.yaml",
    ]
    assert all(file.is_file() and file.parent == tmp_path / "new" / "files" for file in files)


def test_the_workflow_says_what_the_tables_say(tmp_path: Path):
    export(InMemory(), "workflow", tmp_path)
    index = json.loads((tmp_path / "S0_image_index.json").read_text(encoding="utf-8"))
    assert index[IDS[3]] == "/p/d\n.png"
    assert list(index) == IDS
    assert np.array_equal(np.load(tmp_path / "S1_embeddings.npy"), np.asarray(VECTORS, np.float32))
    assert json.loads((tmp_path / "S1_ids.json").read_text()) == IDS
    assert cells(tmp_path / "S2_clustering.csv")[:4] == [
        ["id", "cluster", "strength", "outlier", "path"],
        [IDS[0], "0", "0.1", "0", "/p/=1.png"],
        [IDS[1], "-1", "0", "1", '/p/ä, "b".png'],
        [IDS[2], "0", "1", "", "/p/c.png"],
    ]
    assert json.loads((tmp_path / "S3_sampled_images.json").read_text()) == {"0": [IDS[2], IDS[0]], "1": [IDS[3]]}
    assert cells(tmp_path / "S5_cluster_labels.csv") == [
        ["cluster", "label", "size", "reason"],
        ["0", "fish", "2", "two\nlines"],
        ["1", "'=cmd()", "1", "'+x"],
    ]
    assert (tmp_path / "S8_organization_log.txt").read_text(encoding="utf-8").splitlines() == [
        "planned: /p/c.png -> fish/c.png",
        "planned: /p/c2.png -> fish/c2.png",
    ]
    assert yaml.safe_load((tmp_path / "run_config.yaml").read_text())["name"] == "memory"


def test_once_organised_the_log_tells_what_was_really_done(tmp_path: Path):
    folder = Files({"organization_log.txt": b"done: /p/a -> x/a\n"})
    export(InMemory(folder=folder), "workflow", tmp_path)
    assert (tmp_path / "S8_organization_log.txt").read_text() == "done: /p/a -> x/a\n"


def test_images_without_a_vector_are_in_neither_file(tmp_path: Path):
    tables = {**TABLES, "embed": pa.table({"id": IDS, "embedding": pa.array([None, *VECTORS[1:]], vector(3))})}
    export(InMemory(tables=tables), "workflow", tmp_path)
    assert np.array_equal(np.load(tmp_path / "S1_embeddings.npy"), np.asarray(VECTORS[1:], np.float32))
    assert json.loads((tmp_path / "S1_ids.json").read_text()) == IDS[1:]


def test_files_of_steps_that_a_pipeline_lacks_are_left_out(tmp_path: Path):
    assert names(export(InMemory().only(), "workflow", tmp_path)) == ["S0_image_index.json", "run_config.yaml"]
    files = export(InMemory().only("embed", "cluster"), "workflow", tmp_path / "two")
    assert [name[:2] for name in names(files)] == ["S0", "S1", "S1", "S2", "S7", "S7", "ru"]


def test_the_vectors_are_those_of_the_step_called_embed(tmp_path: Path):
    more = TABLES["embed"].set_column(1, "embedding", pa.array([[9.0, 9.0, 9.0]] * 4, vector(3)))
    run = InMemory().plus(Step.of(Mean(), name="tags"), more)
    export(run, "workflow", tmp_path)
    assert np.load(tmp_path / "S1_embeddings.npy")[0].tolist() == VECTORS[0]


def test_csv_has_a_row_an_image_with_every_plain_column(tmp_path: Path):
    files = export(InMemory(), "csv", tmp_path)
    assert names(files) == ["files.csv", "images.csv", "label.csv", "organize.csv", "run_config.yaml"]
    table = cells(tmp_path / "images.csv")
    assert table[0] == ["id", "path", "width", "cluster", "strength", "outlier", "rank", "label"]
    assert table[1] == [IDS[0], "/p/=1.png", "1", "0", "0.1", "0", "1", "fish"]
    assert table[2] == [IDS[1], '/p/ä, "b".png', "2", "-1", "0", "1", "", ""]
    assert table[4][-1] == "'=cmd()"
    assert cells(tmp_path / "files.csv")[6] == ["/p/bad.png", "", "failed", "index", "'-cut off"]
    assert len(cells(tmp_path / "label.csv")) == 3
    assert len(cells(tmp_path / "organize.csv")) == 3


def test_columns_of_one_name_say_their_step(tmp_path: Path):
    run = InMemory().plus(Step.of(Brightest(), name="fine"), TABLES["cluster"])
    export(run, "csv", tmp_path)
    assert {"cluster.cluster", "fine.cluster", "rank"} < set(cells(tmp_path / "images.csv")[0])
    export(run, "workflow", tmp_path)
    assert cells(tmp_path / "S2_clustering.csv")[0] == ["id", "cluster", "strength", "outlier", "path"]


def test_parquet_keeps_every_column(tmp_path: Path):
    files = export(InMemory(), "parquet", tmp_path)
    assert names(files) == [
        "cluster.parquet",
        "embed.parquet",
        "files.parquet",
        "images.parquet",
        "label.parquet",
        "organize.parquet",
        "run_config.yaml",
        "sample.parquet",
    ]
    assert pq.read_table(tmp_path / "embed.parquet").equals(TABLES["embed"])
    assert pq.read_table(tmp_path / "images.parquet").equals(InMemory().images)


def test_a_step_may_be_called_like_a_table_of_ours(tmp_path: Path):
    run = InMemory().plus(Step.of(Brightest(), name="Images"), TABLES["cluster"])
    export(run, "parquet", tmp_path)
    assert pq.read_table(tmp_path / "images.parquet").equals(run.images)
    assert pq.read_table(tmp_path / "step_Images.parquet").equals(TABLES["cluster"])


def test_an_unknown_format_names_the_nearest(tmp_path: Path):
    with pytest.raises(UsageError, match="there is no export 'parket'; did you mean 'parquet'"):
        export(InMemory(), "parket", tmp_path)
    with pytest.raises(UsageError, match="take workflow, structural, csv, parquet"):
        export(InMemory(), "zzz", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_runs_without_images_export_empty_tables(tmp_path: Path):
    empty = {name: table.slice(0, 0) for name, table in TABLES.items()}
    run = InMemory(tables=empty, images=InMemory().images.slice(0, 0), files=InMemory().files.slice(0, 0))
    for how in ("workflow", "csv", "parquet"):
        export(run, how, tmp_path)
    assert np.load(tmp_path / "S1_embeddings.npy").shape == (0, 3)
    assert json.loads((tmp_path / "S0_image_index.json").read_text()) == {}
    assert json.loads((tmp_path / "S1_ids.json").read_text()) == []
    assert cells(tmp_path / "images.csv")[0][0] == "id"


def test_tables_longer_than_a_block_come_out_whole(tmp_path: Path):
    count = 2 * BLOCK + 7
    vectors = np.arange(count * 2, dtype=np.float32).reshape(-1, 2)
    column = pa.chunked_array(
        [pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), 2) for part in np.array_split(vectors, 3)]
    )
    write_vectors(tmp_path / "v.npy", column)
    assert np.array_equal(np.load(tmp_path / "v.npy"), vectors)
    write_csv(tmp_path / "t.csv", pa.table({"n": range(count), "t": pa.array([3] * count, pa.duration("s"))}))
    assert [row[0] for row in cells(tmp_path / "t.csv")[1:]] == [str(n) for n in range(count)]
