"""Captions, keywords, labels, suggestions and decisions in the files of the workflow; real runs, hostile texts."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import shoal
from shoal.decisions.older import accepted, older
from shoal.errors import StoreError
from shoal.export import export
from shoal.pipeline import parse
from tests.decisions.answers import answer, keep, merge, move, noise, rename, split
from tests.hostile import TEXTS

from .conftest import SPEAKING
from .memory import IDS, Files, InMemory


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def files(speaking, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    export(speaking, "workflow", folder)
    return folder


def test_every_file_of_the_workflow_is_there(speaking, tmp_path: Path):
    listed = [path.name for path in export(speaking, "workflow", tmp_path)]
    assert listed == [
        "S0_image_index.json",
        "S1_embeddings.npy",
        "S1_ids.json",
        "S2_clustering.csv",
        "S3_sampled_images.json",
        "S4_captions.json",
        "S5_cluster_labels.csv",
        "S6_rescue_candidates.csv",
        "S7_confirmed_moves.json",
        "S7_user_edits.log",
        "caption_txt",
        "run_config.yaml",
        "step5_keywords",
    ]


def test_captions_by_id(speaking, files: Path):
    captions = json.loads((files / "S4_captions.json").read_text(encoding="utf-8"))
    assert len(captions) == len(TEXTS)
    assert sorted(captions.values()) == sorted(TEXTS)
    texts = {path.stem: path.read_bytes() for path in (files / "caption_txt").iterdir()}
    assert texts.keys() == captions.keys()
    for key, text in texts.items():
        assert text.endswith(b"\n")
        assert text.count(b"\n") == 1
        assert not set(text[:-1]) & {*range(32), 127}, captions[key]
    chinese = next(key for key, caption in captions.items() if caption == "山间的小湖")
    assert texts[chinese].decode() == "山间的小湖\n"


def test_a_line_of_keywords_for_each_caption_of_a_cluster(speaking, files: Path):
    found = {path.name: path.read_text(encoding="utf-8") for path in (files / "step5_keywords").iterdir()}
    assert sorted(found) == ["cluster_00_keywords.txt", "cluster_02_keywords.txt"]
    sizes = {int(row["cluster"]): int(row["size"]) for row in table(files / "S5_cluster_labels.csv")}
    captions = json.loads((files / "S4_captions.json").read_text(encoding="utf-8"))
    clusters = {row["id"]: row["cluster"] for row in table(files / "S2_clustering.csv")}
    for number in (0, 2):
        lines = found[f"cluster_{number:02d}_keywords.txt"].split("\n")
        empty = [key for key in captions if captions[key] == "" and clusters[key] == str(number)]
        assert len(lines) - 1 == sizes[number]
        assert sum(line == "" for line in lines[:-1]) == len(empty)


def test_labels_tell_what_was_told_apart(files: Path):
    rows = table(files / "S5_cluster_labels.csv")
    assert list(rows[0]) == ["cluster", "label", "size", "reason", "first_label", "told_apart_from", "keywords"]
    assert [row["cluster"] for row in rows] == ["0", "2"]
    assert rows[0]["first_label"] == f"'{TEXTS[0]}"
    assert rows[1]["told_apart_from"].endswith(TEXTS[2])
    assert len(rows[0]["keywords"].split(", ")) >= 20


def test_rescue_candidates_by_suggestion(files: Path):
    rows = table(files / "S6_rescue_candidates.csv")
    assert list(rows[0]) == [
        "id", "path", "suggested", "label", "best", "score", "runner_up", "runner_up_score", "margin", "nearest",
        "nearest_score", "caption",
    ]  # fmt: skip
    suggested = [row["suggested"] for row in rows]
    half = -(-len(rows) // 2)
    assert suggested == ["0"] * half + [""] * (len(rows) - half)
    scores = [float(row["score"]) for row in rows[:half]]
    assert scores == sorted(scores, reverse=True)
    assert {row["label"] for row in rows} == {f"'{TEXTS[0]} 0", ""}
    clusters = {row["id"]: row["cluster"] for row in table(files / "S2_clustering.csv")}
    assert {clusters[row["id"]] for row in rows} == {"-1"}


def test_without_caption_or_keyword_files(speaking, tmp_path: Path):
    export(speaking, "workflow", tmp_path)
    assert (tmp_path / "caption_txt").is_dir()
    names = [path.name for path in export(speaking, "workflow", tmp_path, caption_files=False)]
    assert "caption_txt" not in names
    assert "step5_keywords" in names
    assert not (tmp_path / "caption_txt").exists()  # the last export's go away
    names = [path.name for path in export(speaking, "workflow", tmp_path, keyword_files=False)]
    assert "step5_keywords" not in names
    assert (tmp_path / "caption_txt").is_dir()


def test_tables_hold_what_was_said(speaking, tmp_path: Path):
    export(speaking, "csv", tmp_path)
    export(speaking, "parquet", tmp_path)
    rows = table(tmp_path / "images.csv")
    assert len(rows) == len(TEXTS)
    assert {"caption", "keywords", "label", "suggested", "score", "nearest_score", "sample.rank", "noise.rank"} <= set(
        rows[0]
    )
    assert pq.read_table(tmp_path / "caption.parquet").num_rows == len(TEXTS)
    assert pq.read_table(tmp_path / "rescue.parquet")["suggested"].null_count
    assert list(table(tmp_path / "label.csv")[0])[-2:] == ["first_label", "told_apart_from"]


def test_where_some_images_only_have_captions(hostile_images, host, tmp_path: Path):
    made = parse(SPEAKING, host)
    run = shoal.run(made, hostile_images, tmp_path / "out", host=host, options=shoal.RunOptions(where="local"))
    export(run, "workflow", tmp_path / "files")
    captions = json.loads((tmp_path / "files" / "S4_captions.json").read_text(encoding="utf-8"))
    samples = json.loads((tmp_path / "files" / "S3_sampled_images.json").read_text(encoding="utf-8"))
    noise = {row["id"] for row in table(tmp_path / "files" / "S2_clustering.csv") if row["cluster"] == "-1"}
    assert {key: len(ids) for key, ids in samples.items()} == {"0": 2, "2": 2}  # of the clusters, not of the noise
    assert captions.keys() == noise.union(*samples.values())
    lines = (tmp_path / "files" / "step5_keywords" / "cluster_00_keywords.txt").read_text(encoding="utf-8").split("\n")
    assert len(lines) == 3
    again = shoal.run(
        tmp_path / "files" / "run_config.yaml", hostile_images, tmp_path / "out", host=host,
        options=shoal.RunOptions(where="local"),
    )  # fmt: skip
    assert {step.step: step.computed for step in again.record.steps} == dict.fromkeys(made.names, 0)
    assert again.pipeline == made


def test_every_decision_is_a_harmless_line_of_the_log(tmp_path: Path):
    told = answer(
        "cluster:0", keep(*IDS[:2]), move(1, IDS[2]), noise(IDS[3]), rename(0, "fi\nsh\x1b[31m"), merge(1, 0),
        split(0, IDS[0]), who="ann\n", run="memory",
    )  # fmt: skip
    gone = told.model_copy(update={"at": "2026-01-01T00:02:00.000Z", "deleted": True, "changes": ()})
    rescued = accepted("memory", IDS[1], 1, "2026-01-01T00:00:00.000Z", "bob", "accepted")
    export(InMemory(revisions=(told, gone, rescued)), "workflow", tmp_path)
    assert (tmp_path / "S7_user_edits.log").read_text(encoding="utf-8").splitlines() == [
        '2026-01-01T00:00:00.000Z bob: moved /p/ä, "b".png from noise to cluster 1 (accepted)',
        "2026-01-01T00:01:00.000Z ann  on cluster:0: kept 2 images",
        "2026-01-01T00:01:00.000Z ann  on cluster:0: moved /p/c.png to cluster 1",
        "2026-01-01T00:01:00.000Z ann  on cluster:0: moved /p/d .png to noise",
        "2026-01-01T00:01:00.000Z ann  on cluster:0: renamed cluster 0 to fi sh",
        "2026-01-01T00:01:00.000Z ann  on cluster:0: merged cluster 1 into cluster 0",
        "2026-01-01T00:01:00.000Z ann  on cluster:0: split cluster 0 with 1 example",
        "2026-01-01T00:02:00.000Z ann  on cluster:0: took the answer back",
    ]


def test_what_older_shoals_remembered_is_read(tmp_path: Path):
    kept = [
        {"id": IDS[1], "path": "/p/b.png", "from": -1, "to": 1, "label": "x", "by": "--accept-rescues", "at": at}
        for at in ("2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00")
    ]
    folder = Files({"decisions.json": json.dumps(kept).encode()})
    found = older(folder, "memory")
    assert [answer.at for answer in found] == ["2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"]
    export(InMemory(folder=folder, revisions=tuple(found)), "workflow", tmp_path)
    (move,) = json.loads((tmp_path / "S7_confirmed_moves.json").read_text(encoding="utf-8"))
    assert (move["id"], move["from"], move["to"], move["by"]) == (IDS[1], -1, 1, "--accept-rescues")
    assert len((tmp_path / "S7_user_edits.log").read_text(encoding="utf-8").splitlines()) == 2
    with pytest.raises(StoreError, match=r"decisions\.json of the run is damaged"):
        older(Files({"decisions.json": b"{}"}), "memory")


def test_nothing_was_decided(tmp_path: Path):
    export(InMemory(), "workflow", tmp_path)
    assert json.loads((tmp_path / "S7_confirmed_moves.json").read_text()) == []
    assert (tmp_path / "S7_user_edits.log").read_bytes() == b""
