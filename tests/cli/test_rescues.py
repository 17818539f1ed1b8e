"""`organize --accept-rescues`: noise goes where the run suggests, when somebody says so; what was accepted is remembered."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import shoal
from shoal.decisions import Answer, Change, Decisions, now
from shoal.organizing import make_plan, organizer, suggestions

from .conftest import Made, call, fill
from .test_files import files

pytestmark = pytest.mark.processes

PIPELINE = """shoal: 1
name: rescuing
steps:
  - use: index.folder
  - use: embed.lite0
  - use: cluster.dbscan
    with: {mode: noise_control, metric: cosine, min_samples: 3, max_noise_ratio: 0.25}
  - use: caption.tags
  - use: label.tags
  - use: rescue.captions
    with: {threshold: -1} # whatever the likest cluster is
"""
ODD = 3
ALL = 12


@pytest.fixture(scope="module")
def rescued(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A store whose run found three clusters and three images of noise, each with a suggestion."""
    folder = fill(tmp_path_factory.mktemp("rescued"))
    for place in range(ODD):
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[:, :, place] = np.linspace(0, 255, 64)[None, :]
        pixels[10 * place : 10 * place + 12] = 255 - 40 * place
        Image.fromarray(pixels).save(folder.photos / f"odd {place}.jpg")
    folder.pipeline.write_text(PIPELINE)
    answer = call("run", folder.pipeline, folder.photos, "--out", folder.out, "--on", "local")
    assert answer.code == 0, answer.err
    assert f"{ALL} images in 3 clusters, {ODD} noise" in answer.out
    assert f"shoal organize {folder.out} --to sorted/ --accept-rescues --dry-run" in answer.out
    return folder


def test_without_the_flag_noise_stays_noise_and_the_suggestions_are_told(rescued: Made, tmp_path: Path) -> None:
    answer = call("organize", rescued.out, "--to", tmp_path / "sorted", "--dry-run")
    assert f"{ODD} images of the noise have a suggested cluster; --accept-rescues puts them there" in answer.err
    assert answer.out.count("noise/odd_") == ODD
    assert "from noise" not in answer.out
    rows = call("organize", rescued.out, "--to", tmp_path / "sorted", "--dry-run", "--json").json
    assert not any(row["rescued"] for row in rows)


def test_the_plan_shows_which_files_are_rescued(rescued: Made, tmp_path: Path) -> None:
    answer = call("organize", rescued.out, "--to", tmp_path / "sorted", "--dry-run", "--accept-rescues")
    assert "have a suggested cluster" not in answer.err
    title, _, _, *rows = answer.out.splitlines()
    assert title.endswith(f", {ODD} of them rescued from the noise")
    assert [row.endswith("from noise") for row in rows[:ALL]] == [True] * ODD + [False] * (ALL - ODD)
    assert "noise/" not in answer.out
    planned = call("organize", rescued.out, "--to", tmp_path / "s", "--dry-run", "--accept-rescues", "--json").json
    assert {Path(row["source"]).name for row in planned if row["rescued"]} == {f"odd {place}.jpg" for place in range(ODD)}
    assert shoal.open(rescued.out).version is None  # looking decides nothing


def test_accepted_rescues_lie_with_their_cluster_under_its_label(rescued: Made) -> None:
    run = shoal.open(rescued.out)
    stage = organizer(run, run.host, {"rule": "label@original"})
    plan = make_plan(run, stage, accept_rescues=True)
    found = suggestions(run)
    assert found is not None
    expected = dict(zip(found["id"].to_pylist(), found["label"].to_pylist(), strict=True))
    labels = set(run.table("label")["label"].to_pylist())
    assert set(expected.values()) <= labels
    for row in plan.to_pylist():
        if row["rescued"]:
            assert row["target"].split("/")[0] == expected[row["id"]].replace(" ", "_")
    assert {row["target"].split("/")[0] for row in plan.to_pylist()} <= {label.replace(" ", "_") for label in labels}
    assert not any(make_plan(run, stage)["rescued"].to_pylist())


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_what_was_accepted_is_remembered_and_undo_takes_the_files_back(rescued: Made, tmp_path: Path, mode: str) -> None:
    before = files(rescued.photos)
    times = {path.name: path.stat().st_mtime_ns for path in rescued.photos.iterdir()}
    target = tmp_path / "sorted"
    out = shutil.copytree(rescued.out, tmp_path / "out")  # what is accepted is remembered
    command = ("organize", out, "--to", target, "--mode", mode, "--accept-rescues", "--yes")
    assert call(*command).code == 0
    assert len(files(target)) == ALL
    assert not (target / "noise").exists()
    again = call(*command)
    assert f"{ALL} files there already" in again.out
    assert f"{ODD} changes" in again.err  # the version that is used is told
    run = shoal.open(out)
    assert run.version is not None
    assert run.version.summary == {"confirm": ODD}
    assert call("export", out, "--as", "workflow", "--to", tmp_path / "files").code == 0
    exported = json.loads((tmp_path / "files" / "S7_confirmed_moves.json").read_text(encoding="utf-8"))
    assert {Path(move["path"]).name for move in exported} == {f"odd {place}.jpg" for place in range(ODD)}
    assert {(move["from"], bool(move["label"]), move["how"]) for move in exported} == {(-1, True, "confirm")}
    log = (tmp_path / "files" / "S7_user_edits.log").read_text(encoding="utf-8").splitlines()
    moved = [line for line in log if "from noise to cluster" in line]
    assert len(moved) == ODD  # once each, however often the command was given
    assert all("--accept-rescues" in line for line in moved)
    undone = call("undo", target)
    assert undone.code == 0, undone.err
    assert files(target) == {}
    assert files(rescued.photos) == before
    assert {path.name: path.stat().st_mtime_ns for path in rescued.photos.iterdir()} == times
    assert call("review", "undo", out).code == 0
    assert call("organize", out, "--to", target, "--dry-run").out.count("noise/odd_") == ODD


def test_a_rejected_suggestion_is_made_no_more(rescued: Made, tmp_path: Path) -> None:
    out = shutil.copytree(rescued.out, tmp_path / "out")
    run = shoal.open(out)
    found = suggestions(run)
    assert found is not None
    image = found["id"][0].as_py()
    change = Change(kind="reject", images=(image,))
    Decisions.of(run.store).record(
        [Answer(run=run.id, surface="s", key="1", at=now(), task=f"rescue:{image}", changes=(change,))]
    )
    assert call("review", "apply", out).code == 0
    plan = call("organize", out, "--to", tmp_path / "s", "--dry-run", "--accept-rescues", "--json").json
    assert len([row for row in plan if row["rescued"]]) == ODD - 1
    left = suggestions(shoal.open(out))
    assert left is not None
    assert image not in left["id"].to_pylist()


def test_a_run_without_suggestions_says_so(made: Made, tmp_path: Path) -> None:
    answer = call("organize", made.out, "--to", tmp_path / "sorted", "--accept-rescues", "--yes")
    assert answer.code == 2
    assert "has no step that suggests clusters for its noise; leave --accept-rescues out" in answer.sentence
    assert not (tmp_path / "sorted").exists()
