"""The whole workflow on real photographs: captions, keywords, labels, suggestions for noise, and what comes out of them."""

import csv
import json
import shutil
from pathlib import Path

import pytest

import shoal as package
from shoal.catalogue import Run

from ..conftest import Shoal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FILES = {
    "S0_image_index.json", "S1_embeddings.npy", "S1_ids.json", "S2_clustering.csv", "S3_sampled_images.json",
    "S4_captions.json", "S5_cluster_labels.csv", "S6_rescue_candidates.csv", "S7_confirmed_moves.json",
    "S7_user_edits.log", "S8_organization_log.txt", "run_config.yaml", "caption_txt", "step5_keywords",
}  # fmt: skip
WITH_TAGS = ("--set", "caption=tags")
NAMES = {
    "monuments": ("monument", "building", "palace"), "tools": ("tool",), "fishes": ("fish",), "animal": ("animal", "mammal"),
    "music": ("stage", "concert", "music"), "renewable": ("power station", "solar", "windmill"), "planet": ("planet",),
}  # fmt: skip
"""Words that people accept for a class. ImageNet has none for planets and windmills: their file names have."""


@pytest.fixture(scope="module")
def out(photo_set: Path, tmp_path_factory: pytest.TempPathFactory, shoal: Shoal) -> Path:
    folder = tmp_path_factory.mktemp("semantic") / "out"
    made = shoal("run", "semantic-cluster", photo_set, "--out", folder, *WITH_TAGS, "--json").stdout
    (folder.parent / "first").write_text(json.loads(made)["id"])
    return folder


@pytest.fixture
def run(out: Path) -> Run:
    """The first run; tests add others to the same store."""
    return package.open(out, (out.parent / "first").read_text())


def test_labels_name_their_class(run: Run) -> None:
    labels = run.table("label")["label"].to_pylist()
    assert len({label.casefold() for label in labels}) == len(labels) >= 7
    rows = run.joined(["path", "label"]).to_pylist()
    for name, words in NAMES.items():
        labels = [row["label"] for row in rows if Path(row["path"]).parent.name == name]
        found = [label for label in labels if label]  # noise has none, and is offered a place by the rescue
        fitting = [label for label in found if any(word in label for word in words)]
        assert len(fitting) >= 0.6 * len(found) >= 0.4 * len(labels), (name, labels)


def test_file_names_name_what_captions_have_no_word_for_and_change_nothing_else(
    run: Run, out: Path, photo_set: Path, tmp_path: Path, shoal: Shoal
) -> None:
    def labels(photos: Path, *more: str) -> list[str]:
        made = shoal("run", "semantic-cluster", photos, "--out", out, *WITH_TAGS, *more, "--json").stdout
        found: list[str] = package.open(out, json.loads(made)["id"]).table("label")["label"].to_pylist()
        return found

    for number, photo in enumerate(sorted(photo_set.rglob("*.webp"))):
        renamed = tmp_path / photo.parent.name / f"IMG_{number:04d}.webp"
        renamed.parent.mkdir(exist_ok=True)
        shutil.copy(photo, renamed)
    with_names = run.table("label").to_pylist()
    without = labels(photo_set, "--set", "label.file_names=false")
    changed = {row["label"]: other for row, other in zip(with_names, without, strict=True) if row["label"] != other}
    assert changed == {"planets": "round objects", "windmill": "towers, construction crane"}
    (planets, windmills) = (next(row for row in with_names if row["label"] == name) for name in ("planets", "windmill"))
    assert windmills["reason"].startswith('"windmill" fits the file names of 15 of 15 images and 0 of 199 others; ')
    assert '"planets" fits the file names of 8 of 9 images (earth, jupiter, mars)' in planets["reason"]
    assert "its captions do not agree" in planets["reason"]
    assert labels(tmp_path) == without
    keywords = labels(tmp_path, "--set", "label.tags=false")
    assert [(one, other) for one, other in zip(without, keywords, strict=True) if one != other] == [
        ("round objects", keywords[without.index("round objects")])
    ]
    assert keywords[without.index("round objects")].count(", ") == 2, "keywords of single images"


def test_only_representatives_and_noise_are_captioned(run: Run) -> None:
    picked = {*run.table("sample")["id"].to_pylist(), *run.table("noise")["id"].to_pylist()}
    assert set(run.table("caption")["id"].to_pylist()) == picked
    assert run.table("caption")["caption"].null_count == 0
    assert len(picked) < run.record.images / 2


def test_a_second_run_captions_nothing_and_all_captions_only_the_rest(
    run: Run, out: Path, photo_set: Path, shoal: Shoal
) -> None:
    captioned = run.table("caption").num_rows
    again = json.loads(shoal("run", "semantic-cluster", photo_set, "--out", out, *WITH_TAGS, "--json").stdout)
    assert {step["computed"] for step in again["steps"]} == {0}
    more = (*WITH_TAGS, "--set", "caption.only=all", "--json")
    whole = json.loads(shoal("run", "semantic-cluster", photo_set, "--out", out, *more).stdout)
    (caption,) = (step for step in whole["steps"] if step["step"] == "caption")
    assert (caption["computed"], caption["rows"]) == (214 - captioned, 214)


def test_the_report_shows_captions_labels_and_suggestions(run: Run, out: Path, shoal: Shoal) -> None:
    text = Path(shoal("report", out, "--run", run.id).stdout.strip()).read_text()
    for caption in run.table("caption")["caption"].to_pylist()[:1]:
        assert caption.partition(":")[0] in text
    assert "--accept-rescues" in text
    for score in run.table("rescue")["score"].to_pylist():
        assert f"{score:.2f}" in text


def test_accepted_suggestions_are_organised_exported_and_undone(
    out: Path, photo_set: Path, tmp_path: Path, shoal: Shoal
) -> None:
    sorted_, files = tmp_path / "sorted", tmp_path / "files"
    eager = ("--set", "rescue.threshold=0")  # whatever is likest is suggested, so that something is
    made = json.loads(shoal("run", "semantic-cluster", photo_set, "--out", out, *WITH_TAGS, *eager, "--json").stdout)
    suggested = [row for row in package.open(out, made["id"]).table("rescue").to_pylist() if row["suggested"] is not None]
    assert suggested
    shoal("organize", out, "--run", made["id"], "--to", sorted_, "--yes", "--accept-rescues")
    assert len(list((sorted_ / "noise").glob("*"))) == made["noise"] - len(suggested)
    shoal("export", out, "--run", made["id"], "--as", "workflow", "--to", files)
    assert len(json.loads((files / "S7_confirmed_moves.json").read_text())) == len(suggested)
    shoal("undo", sorted_)
    assert not list(sorted_.rglob("*.webp"))


def test_the_workflows_files_are_whole_and_its_configuration_runs_again(
    run: Run, out: Path, photo_set: Path, tmp_path: Path, shoal: Shoal
) -> None:
    files = tmp_path / "files"
    shoal("organize", out, "--run", run.id, "--to", tmp_path / "sorted", "--yes")
    shoal("export", out, "--run", run.id, "--as", "workflow", "--to", files)
    assert {path.name for path in files.iterdir() if not path.name.startswith(".")} == FILES
    captions = json.loads((files / "S4_captions.json").read_text())
    assert captions == dict(zip(*run.table("caption").to_pydict().values(), strict=True))
    assert {path.stem for path in (files / "caption_txt").iterdir()} == set(captions)
    with (files / "S5_cluster_labels.csv").open() as file:
        assert len(list(csv.DictReader(file))) == run.record.clusters
    again = json.loads(shoal("run", files / "run_config.yaml", photo_set, "--out", out, "--json").stdout)
    assert {step["computed"] for step in again["steps"]} == {0}


def test_with_a_vision_language_model(photo_set: Path, tmp_path: Path, shoal: Shoal) -> None:
    """Keywords come from the model that wrote the captions; its words mean nothing, so only the way is looked at."""
    from ..models.tiny_vlm import make_tiny_vlm

    photos = tmp_path / "photos"
    for folder in ("fishes", "tools"):
        shutil.copytree(photo_set / folder, photos / folder)
    make_tiny_vlm(tmp_path / "vlm")
    model = ("--set", f"caption=transformers:{tmp_path / 'vlm'}", "--set", "caption.caption_length=8", "--set",
             "caption.longest_side=56", "--set", "distil.max_tokens=3")  # fmt: skip
    first = json.loads(shoal("run", "semantic-cluster", photos, "--out", tmp_path / "out", *model, "--json").stdout)
    steps = {step["step"]: step for step in first["steps"]}
    assert steps["distil"]["stage"] == "distil.prompt"
    run = package.open(tmp_path / "out")
    assert run.table("caption").num_rows == steps["caption"]["computed"] > 0
    assert all(run.table("caption")["caption"].to_pylist())
    assert run.table("label").num_rows == first["clusters"] > 0
    again = json.loads(shoal("run", "semantic-cluster", photos, "--out", tmp_path / "out", *model, "--json").stdout)
    assert {step["computed"] for step in again["steps"]} == {0}


def test_without_captions_clusters_are_numbered(out: Path, photo_set: Path, shoal: Shoal) -> None:
    made = json.loads(shoal("run", "semantic-cluster", photo_set, "--out", out, "--set", "caption=skip", "--json").stdout)
    run = package.open(out, made["id"])
    assert run.table("label")["label"].to_pylist() == [f"cluster_{number:02d}" for number in range(made["clusters"])]
    assert set(run.table("rescue")["suggested"].to_pylist()) <= {None}
