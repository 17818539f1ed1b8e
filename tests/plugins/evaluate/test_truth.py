"""`evaluate.truth` against scikit-learn, and where labels are missing or strange."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, homogeneity_completeness_v_measure, normalized_mutual_info_score

from shoal.contract import Context
from shoal.errors import ShoalError, StageError
from shoal_plugins.evaluate._agreement import best_jaccard, rand
from shoal_plugins.evaluate.truth import CONFUSION, Truth
from tests.plugins.reduce.tables import Notes

PAIRS = st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 3)), min_size=1, max_size=50)


def rows_of(clusters: list[int], paths: list[list[str]]) -> pa.Table:
    ids = pa.array([f"{row:064x}" for row in range(len(clusters))], pa.string())
    return pa.table({"id": ids, "cluster": pa.array(clusters, pa.int32()), "paths": pa.array(paths, pa.list_(pa.string()))})


def told(rows: pa.Table, folder: Path | None = None, **options: Any) -> tuple[Notes, list[dict[str, Any]]]:
    notes = Notes()
    return notes, Truth(**options).run(rows, notes.context(folder=folder)).to_pylist()


@settings(deadline=None, max_examples=80)
@given(PAIRS)
def test_figures_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    clusters, classes = [a for a, _ in pairs], [b for _, b in pairs]
    notes, rows = told(rows_of(clusters, [[f"/set/class {b}/{n}.jpg"] for n, b in enumerate(classes)]))
    figures = notes["metrics"]
    assert figures["ari"] == pytest.approx(adjusted_rand_score(classes, clusters))
    assert figures["nmi"] == pytest.approx(normalized_mutual_info_score(classes, clusters))
    exact = homogeneity_completeness_v_measure(classes, clusters)
    assert [figures[name] for name in ("homogeneity", "completeness", "v_measure")] == pytest.approx(exact)
    for row in rows:
        inside = [f"class {b}" for a, b in pairs if a == row["cluster"]]
        assert row["labelled"] == len(inside)
        assert inside.count(row["true_class"]) == max(inside.count(name) for name in inside)
        assert row["true_share"] == pytest.approx(inside.count(row["true_class"]) / len(inside))
    if rows:
        right = sum(row["labelled"] * row["true_share"] for row in rows)
        assert figures["purity"] == pytest.approx(right / sum(row["labelled"] for row in rows))
    assert "verdict" not in notes


@given(PAIRS)
def test_rand_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    left, right = np.array([a + 1 for a, _ in pairs]), np.array([b for _, b in pairs])
    assert rand(left, right) == pytest.approx(adjusted_rand_score(left, right))


@given(PAIRS)
def test_the_best_jaccard_is_that_of_sets(pairs: list[tuple[int, int]]) -> None:
    ours, theirs = np.array([b for _, b in pairs]), np.array([a for a, _ in pairs])
    for cluster, found in enumerate(best_jaccard(ours, theirs, 4)):
        mine = set(np.flatnonzero(ours == cluster).tolist())
        others = [set(np.flatnonzero(theirs == other).tolist()) for other in range(5)]
        if not mine:
            assert np.isnan(found)
        else:
            assert found == pytest.approx(max(len(mine & other) / len(mine | other) for other in others))


def test_levels_copies_and_files_without_a_folder(tmp_path: Path) -> None:
    rows = rows_of([0, 0, 1, -1, 1], [
        ["/s/cats/a/1.jpg"], ["/s/dogs/b/2.jpg", "/s/cats/a/2.jpg"], ["/s/dogs/b/3.jpg", "/s/dogs/c/3.jpg"],
        ["/s/dogs/b/4.jpg"], ["/5.jpg"],
    ])  # fmt: skip
    notes, answer = told(rows, tmp_path, level=2)
    assert {name: notes["metrics"][name] for name in ("classes", "labelled", "unlabelled", "ambiguous")} == {
        "classes": 2, "labelled": 3, "unlabelled": 1, "ambiguous": 1,
    }  # fmt: skip
    assert notes["metrics"]["coverage"] == pytest.approx(2 / 3)
    assert [(row["cluster"], row["true_class"], row["labelled"]) for row in answer] == [(0, "cats", 1), (1, "dogs", 1)]
    with (tmp_path / CONFUSION).open(newline="") as file:
        assert list(csv.reader(file)) == [["class", "0", "1", "noise"], ["cats", "1", "0", "0"], ["dogs", "0", "1", "1"]]


def test_tables_by_path_and_by_id(tmp_path: Path) -> None:
    rows = rows_of([0, 0, 1], [[str(tmp_path / f"{n}.jpg")] for n in range(3)])
    (tmp_path / "labels.csv").write_text("path,label\n0.jpg,007\n1.jpg,\n" + f"{tmp_path / '2.jpg'},=x\n")
    notes, answer = told(rows, tmp_path, labels=str(tmp_path / "labels.csv"))
    assert [row["true_class"] for row in answer] == ["007", "=x"]
    assert notes["metrics"]["unlabelled"] == 1
    assert "'=x" in (tmp_path / CONFUSION).read_text()
    pq.write_table(pa.table({"id": rows["id"], "kind": pa.array([1, 1, 2])}), tmp_path / "labels.parquet")
    notes, answer = told(rows, labels=str(tmp_path / "labels.parquet"), column="kind")
    assert ([row["true_class"] for row in answer], notes["metrics"]["ari"]) == (["1", "2"], 1.0)


def test_other_labels_are_another_stage(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("id,label\n")
    before = Truth(labels=str(file)).identity()
    file.write_text("id,label\nx,y\n")
    assert Truth(labels=str(file)).identity() != before


@pytest.mark.parametrize(
    ("text", "said"),
    [("id,kind\n1,2\n", "has no column 'label'; it has id, kind"), ("name,label\n", "no column `id` or `path`")],
)
def test_a_table_that_lacks_a_column(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(StageError, match=said):
        told(rows_of([0], [["/a/b.jpg"]]), labels=str(tmp_path / "labels.csv"))


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "labels.parquet").write_bytes(b"PAR1 and no more")
    for name in ("labels.parquet", "missing.csv"):
        with pytest.raises(ShoalError, match=name):
            told(rows_of([0], [["/a/b.jpg"]]), labels=str(tmp_path / name))


def test_a_threshold_gives_a_verdict() -> None:
    rows = rows_of([0, 0, 1, 1], [["/s/a/1"], ["/s/b/2"], ["/s/a/3"], ["/s/b/4"]])
    notes, _ = told(rows, min_ari=0.8)
    assert (notes["verdict"], notes["reason"]) == ("FAIL", "The ARI against the true classes is -0.500, under 0.8.")
    notes, _ = told(rows_of([0], [["/1"]]), min_ari=0.8)
    assert (notes["verdict"], notes["reason"]) == ("FAIL", "No image has a true class.")


def test_without_any_label_figures_are_left_out(tmp_path: Path) -> None:
    notes, rows = told(rows_of([0, -1], [["/1"], ["/2"]]), tmp_path)
    assert notes["metrics"] == {"classes": 0, "labelled": 0, "unlabelled": 2, "ambiguous": 0}
    assert rows == [{"cluster": 0, "labelled": 0, "true_class": None, "true_share": None}]
    assert Truth().run(rows_of([], []), Context()).num_rows == 0
