import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import shoal
from shoal.contract import Context
from shoal.errors import StageError
from shoal.export import export
from shoal.host import Host
from shoal.kinds import Evaluator, Visualizer
from shoal.pipeline import Step, parse
from shoal.schema import columns
from tests.hostile import TEXTS

from .memory import IDS, InMemory
from .test_formats import cells, names


class Scatter(Visualizer):
    name = "scatter"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        raise NotImplementedError("these tests bring their tables along; nothing runs a stage")


class Purity(Evaluator):
    name = "purity"

    def produces(self) -> pa.Schema:
        return columns(cosine=pa.float32())

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        raise NotImplementedError("these tests bring their tables along; nothing runs a stage")


def drawn(html: str = "<p>points</p>", style: str = "p { color: red }", script: str = "let a = 1;") -> pa.Table:
    return pa.table({"id": ["scatter"], "title": ["S<b>"], "html": [html], "style": [style], "script": [script]})


def left(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_what_is_not_there_is_left_out(tmp_path: Path):
    assert names(export(InMemory(), "structural", tmp_path / "a")) == ["image_clusters.csv", "run_config.yaml"]
    assert names(export(InMemory().only("embed"), "structural", tmp_path / "b")) == ["run_config.yaml"]


def test_the_list_has_a_row_a_file(tmp_path: Path):
    export(InMemory(), "structural", tmp_path)
    assert cells(tmp_path / "image_clusters.csv") == [
        ["path", "cluster", "label", "strength"],
        ['/p/ä, "b".png', "-1", "", "0"],
        ["/p/=1.png", "0", "fish", "0.1"],
        ["/p/c.png", "0", "fish", "1"],
        ["/p/c2.png", "0", "fish", "1"],
        ["/p/d\n.png", "1", "'=cmd()", "0.25"],
    ]
    run = InMemory().only("embed", "cluster")
    export(run, "structural", tmp_path / "plain")
    assert [row[2] for row in cells(tmp_path / "plain" / "image_clusters.csv")[1:]] == [""] * 5


def test_files_that_steps_leave_are_taken_and_others_are_not(tmp_path: Path):
    run = InMemory().plus(Step.of(Purity(), name="first"), pa.table({"cluster": [0], "cosine": [0.5]}))
    run = run.plus(Step.of(Purity(), name="second"), pa.table({"cluster": [0], "cosine": [0.5]}))
    folders = {
        "first": left(tmp_path / "one", purity_report_latest__json="{}", centroid_cosine_matrix__npy="old"),
        "second": left(tmp_path / "two", centroid_cosine_matrix__npy="new", other__txt="x"),
        "visualize": left(tmp_path / "three", cluster_grid__png="grid", preprocessing_comparison__png="eight", a__jpg="y"),
    }
    files = export(dataclasses.replace(run, left=folders), "structural", tmp_path / "to")
    assert names(files) == [
        "centroid_cosine_matrix.npy",
        "cluster_grid.png",
        "image_clusters.csv",
        "preprocessing_comparison.png",
        "purity_report_latest.json",
        "run_config.yaml",
    ]
    assert (tmp_path / "to" / "centroid_cosine_matrix.npy").read_text() == "new"


def test_the_scatter_becomes_a_page_of_its_own(tmp_path: Path):
    run = InMemory().plus(Step.of(Scatter(), name="cloud"), drawn())
    export(run, "structural", tmp_path)
    page = (tmp_path / "interactive_scatter.html").read_text()
    assert "<p>points</p>" in page
    assert "S&lt;b&gt;" in page
    assert "default-src 'none'" in page


def test_a_scatter_that_needs_files_beside_it_is_refused(tmp_path: Path):
    run = InMemory().plus(Step.of(Scatter(), name="cloud"), drawn('<img src="files/a.jpg">'))
    with pytest.raises(StageError, match="step 'cloud' draws with files beside the page"):
        export(run, "structural", tmp_path)
    assert not (tmp_path / "run_config.yaml").exists()


def test_hostile_words_stay_words(tmp_path: Path):
    run = InMemory()
    texts = [text for text in TEXTS if text.strip()][: len(IDS)]
    labels = pa.table({"cluster": pa.array([1, 0], pa.int32()), "label": ["=1+1", "@SUM(1)"], "reason": ["", ""]})
    files = run.files.set_column(0, "path", pa.array([*texts, "-2+3", "+1"]))
    export(dataclasses.replace(run, files=files, tables={**run.tables, "label": labels}), "structural", tmp_path)
    for row in cells(tmp_path / "image_clusters.csv")[1:]:
        assert not row[0].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        assert row[2] in ("'=1+1", "'@SUM(1)", "")


PIPELINE = """\
shoal: 1
name: structural <b>
steps:
  - use: index.folder
  - use: thumbnail.jpeg
    with: {size: 80}
  - use: embed.lite0
  - use: cluster.kmeans
    with: {k: 2}
  - use: evaluate.purity
  - use: visualize.scatter
    as: scatter
  - use: visualize.grid
    as: grid
    with: {samples: 16, png: true}
  - use: visualize.sizes
    as: sizes
    with: {png: true}
"""


@pytest.mark.slow
def test_a_real_run_leaves_every_file(tmp_path: Path):
    source = tmp_path / "in"
    source.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        noise = rng.integers(0, 60, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(noise + np.uint8(180 * (number % 2))).save(
            source / f"{'白い猫' if number % 2 else '=x'} {number}.png"
        )
    host = Host(allow=())
    run = shoal.run(parse(PIPELINE, host), source, tmp_path / "out", host=host, options=shoal.RunOptions(where="local"))
    assert names(export(run, "structural", tmp_path / "to")) == [
        "centroid_cosine_matrix.npy",
        "cluster_grid.png",
        "cluster_sizes.png",
        "image_clusters.csv",
        "interactive_scatter.html",
        "purity_report_latest.json",
        "run_config.yaml",
    ]
    to = tmp_path / "to"
    assert np.load(to / "centroid_cosine_matrix.npy").shape == (2, 2)
    assert json.loads((to / "purity_report_latest.json").read_text())
    assert len(cells(to / "image_clusters.csv")) == 13
    with Image.open(to / "cluster_grid.png") as image:
        assert image.width > 16 * 80
    assert "structural &lt;b&gt;" in (to / "interactive_scatter.html").read_text()
