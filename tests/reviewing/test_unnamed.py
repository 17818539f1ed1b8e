"""A run whose pipeline names no cluster: what people call them is in every table, drawing, plan and export."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import shoal
from shoal.cli import main
from shoal.export import export
from shoal.host import Host
from shoal.organizing import make_plan, organizer
from shoal.reporting import clusters_table, write_report
from shoal.reviewing import make_version, undo
from shoal_ls.service.snapshot import take
from tests.decisions.answers import move, noise, rename

from .conftest import BLUE, EACH, NOISE, RED, colours, image, make, say

PIPELINE = """\
shoal: 1
name: unnamed
steps:
  - use: index.plain
  - use: embed.mean
  - use: cluster.brightest
  - use: rescue.first
  - use: organize.folders
    with: {rule: label@original}
  - use: visualize.counts
"""
SIZES = {"warm": EACH - 2, "cluster_02": EACH + 1, "noise": NOISE + 1}


@pytest.fixture(scope="module")
def host() -> Host:
    return Host(builtins=("tests.reviewing.stages", "shoal_plugins.organize.folders"), allow=())


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory, host: Host) -> shoal.Run:
    """A run in which somebody named a cluster, moved one of its images and took another out of it, as it was before that."""
    folder = tmp_path_factory.mktemp("unnamed")
    run = make(colours(folder / "colours"), folder / "out", host, PIPELINE)
    say(run, "cluster:0", rename(RED, "warm"), move(BLUE, image(run, "red0")), noise(image(run, "red1")))
    assert make_version(run, by="ann").version is not None
    return run.look(0)


@pytest.fixture(scope="module")
def run(computed: shoal.Run) -> shoal.Run:
    """The same as people left it."""
    return computed.look()


@pytest.fixture
def label_organizes(computed, host, tmp_path) -> shoal.Run:
    """A named run whose organise step is called `label`."""
    pipeline = PIPELINE.replace("organize.folders\n", "organize.folders\n    as: label\n")
    made = make(Path(computed.record.source), tmp_path / "out", host, pipeline)
    say(made, "cluster:0", rename(RED, "warm"))
    make_version(made)
    return made.look()


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def test_tables_of_images_and_of_clusters_have_the_names(run, tmp_path):
    export(run, "csv", tmp_path)
    labels = {Path(row["path"]).stem: row["label"] for row in rows(tmp_path / "images.csv")}
    assert [labels[name] for name in ("red0", "red1", "red2", "blue0", "grey0")] == ["", "", "warm", "", ""]
    assert [(row["cluster"], row["label"], row["by"]) for row in rows(tmp_path / "label.csv")] == [
        ("0", "warm", "ann"),
        ("2", "", ""),
    ]
    export(run, "parquet", tmp_path)
    assert pq.read_table(tmp_path / "label.parquet").equals(run.version_table("label"))
    targets = pq.read_table(tmp_path / "organize.parquet")["target"].to_pylist()
    assert {folder: len([target for target in targets if target.startswith(f"{folder}/")]) for folder in SIZES} == SIZES


def test_what_was_computed_has_no_file_of_names(computed, tmp_path):
    for how in ("csv", "parquet", "workflow", "structural"):
        export(computed, how, tmp_path)
    assert not [file.name for file in tmp_path.iterdir() if "label" in file.name]
    assert "label" not in rows(tmp_path / "images.csv")[0]
    assert {row["label"] for row in rows(tmp_path / "image_clusters.csv")} == {""}


def test_the_file_of_names_takes_no_step_s_place(label_organizes, tmp_path):
    files = {path.name for path in export(label_organizes, "csv", tmp_path)}
    assert {"label.csv", "label_2.csv"} <= files
    assert rows(tmp_path / "label_2.csv")[0]["label"] == "warm"
    assert "target" in rows(tmp_path / "label.csv")[0]


def test_the_list_of_the_structural_workflow_has_the_names(run, tmp_path):
    export(run, "structural", tmp_path)
    found = {Path(row["path"]).stem: (row["cluster"], row["label"]) for row in rows(tmp_path / "image_clusters.csv")}
    assert found["red2"] == ("0", "warm")
    assert found["red0"] == ("2", "")
    assert found["red1"] == ("-1", "")


def test_the_files_of_the_workflow_have_the_names_and_what_organise_would_do_now(run, host, tmp_path):
    export(run, "workflow", tmp_path)
    named = rows(tmp_path / "S5_cluster_labels.csv")
    assert [(row["cluster"], row["label"], row["size"]) for row in named] == [("0", "warm", "4"), ("2", "", "7")]
    assert named[0]["reason"] == "named by ann on 2026-01-01"
    assert {row["label"] for row in rows(tmp_path / "S6_rescue_candidates.csv")} == {"warm"}
    plan = make_plan(run, organizer(run, host, {})).to_pylist()
    log = (tmp_path / "S8_organization_log.txt").read_text(encoding="utf-8").splitlines()
    assert log == [f"planned: {row['source']} -> {row['target']}" for row in plan]
    (red2,) = [row["target"] for row in plan if Path(row["source"]).stem == "red2"]
    assert red2 == "warm/warm@red2.png"
    assert {row["target"].partition("/")[0] for row in plan} == SIZES.keys()


def test_the_plan_that_was_computed_is_back_once_the_review_is_undone(computed, host, tmp_path):
    made = make(Path(computed.record.source), tmp_path / "out", host, PIPELINE)
    say(made, "cluster:0", rename(RED, "warm"))
    make_version(made)
    undo(made)
    export(made.look(), "workflow", tmp_path / "files")
    assert "warm" not in (tmp_path / "files" / "S8_organization_log.txt").read_text(encoding="utf-8")


def test_show_the_report_and_predictions_have_the_names(run, capsys):
    assert {row["label"]: row["size"] for row in clusters_table(run).to_pylist()} == SIZES
    with pytest.raises(SystemExit) as ended:
        main(["show", str(run.store.root.local), "--json"])
    assert not ended.value.code
    assert {row["label"] for row in json.loads(capsys.readouterr().out)["clusters"]} == SIZES.keys()
    _, files = run.fragments("visualize")
    assert json.loads((files / "counts.json").read_text()) == {
        "None": SIZES["noise"] + SIZES["cluster_02"],
        "warm": SIZES["warm"],
    }
    page = Path(write_report(run)).read_text(encoding="utf-8")
    assert "warm: 4" in page
    assert take(run).labels == {RED: "warm"}
