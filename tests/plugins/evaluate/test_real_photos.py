"""On real photographs: a run whose record, files and report say how good its clusters are."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

import shoal
from shoal.catalogue import Run
from shoal.vectors import to_numpy
from shoal_plugins.evaluate.purity import Purity
from tests.cli.conftest import call
from tests.plugins.reduce.tables import Notes, table

PIPELINE = """
shoal: 1
steps:
  - use: index.folder
  - use: embed.lite0
  - use: reduce.umap
    from: embed
    with: {components: 10, pca: 30, power: 0.5, layouts: 8}
  - use: cluster.hdbscan
    from: reduce
    with: {min_cluster_size: 6, min_samples: 5, selection_method: eom, selection_persistence: 0.0, noise: nearest}
  - {use: evaluate.purity, as: purity, from: embed}
  - {use: evaluate.truth, as: truth}
  - {use: evaluate.stability, as: stability, from: [embed, cluster], with: {runs: 2}}
"""


@pytest.fixture(scope="module")
def run(photo_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run over the photos."""
    folder = tmp_path_factory.mktemp("evaluated")
    (folder / "p.yaml").write_text(PIPELINE)
    done = call("run", str(folder / "p.yaml"), str(photo_set), "--out", str(folder / "out"), "--on", "local", "--quiet")
    assert done.code == 0, done.err
    return shoal.open(str(folder / "out"))


def metrics(run: Run, step: str) -> dict[str, float]:
    found = run.record.step(step)
    assert found is not None
    return found.metrics


def kept(run: Run, name: str) -> Path:
    (found,) = Path(run.store.root.uri.removeprefix("file://")).rglob(name)
    return found


@pytest.mark.slow
def test_truth_is_that_of_the_folders(run: Run) -> None:
    images, clusters = run.images, run.table("cluster")
    classes = dict(
        zip(images["id"].to_pylist(), (Path(path).parent.name for path in images["path"].to_pylist()), strict=True)
    )
    exact = adjusted_rand_score([classes[one] for one in clusters["id"].to_pylist()], clusters["cluster"].to_pylist())
    assert metrics(run, "truth")["ari"] == pytest.approx(exact)
    assert metrics(run, "truth")["ari"] > 0.6
    with kept(run, "confusion_matrix.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head[-1] == "noise"
    assert sum(int(cell) for row in rows for cell in row[1:]) == len(images)
    assert {row[0] for row in rows} == set(classes.values())


@pytest.mark.slow
def test_noise_has_gone_to_clusters_and_can_be_told(run: Run) -> None:
    clusters = run.table("cluster")
    adopted = run.record.step("cluster").notes["adopted"]  # type: ignore[union-attr]
    assert metrics(run, "purity")["noise"] == 0
    assert (clusters["strength"].to_numpy() == 0).sum() >= adopted > 0


@pytest.mark.slow
def test_purity_and_stability_have_verdicts_and_files(run: Run) -> None:
    report = json.loads(kept(run, "purity_report_latest.json").read_text())
    assert report["metrics"] == metrics(run, "purity")
    assert report["verdict"] in ("PASS", "FAIL")
    cosines = np.load(kept(run, "centroid_cosine_matrix.npy"))
    assert cosines.shape == (len(report["clusters"]),) * 2
    assert 0.3 < metrics(run, "purity")["modularity"] < 1
    assert 0.5 < metrics(run, "stability")["ari"] <= 1
    assert len(run.table("stability")) == len(report["clusters"])


@pytest.mark.slow
def test_the_thresholds_part_true_classes_from_mixed_ones(run: Run) -> None:
    rows = run.joined(["path", "embed.embedding"])
    names = [Path(path).parent.name for path in rows["path"].to_pylist()]
    _, classes = np.unique(names, return_inverse=True)
    draw = np.random.default_rng(0)
    chance = draw.integers(0, 7, len(classes))

    def verdict(labels: np.ndarray) -> str:
        notes = Notes()
        Purity().run(table(to_numpy(rows["embed.embedding"]), labels), notes.context())
        return str(notes["verdict"])

    assert verdict(classes) == "PASS"
    for wrong in (
        np.where(draw.random(len(classes)) < 0.2, chance, classes),
        classes * 2 + draw.integers(0, 2, len(classes)),
        classes * 3 + draw.integers(0, 3, len(classes)),
        chance,
    ):
        assert verdict(wrong) == "FAIL"


@pytest.mark.slow
def test_people_see_it(run: Run) -> None:
    page = (Path(run.folder.uri.removeprefix("file://")) / "report.html").read_text()
    for name in ("purity", "truth", "stability", "max_nn_cross_ratio", "ari_between"):
        assert name in page.partition('id="quality"')[2].partition('id="clusters"')[0]
    shown = call("show", run.store.root.uri.removeprefix("file://")).out
    assert "Quality by purity: " in shown
    assert "v_measure" in shown
