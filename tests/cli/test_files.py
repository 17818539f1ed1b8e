"""What touches files: `organize`, `undo`, `export`, `new-plugin`."""

import re
from pathlib import Path

import pytest

from .conftest import PICTURES, Made, call

pytestmark = pytest.mark.processes


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".shoal" not in path.parts
    }


def test_the_plan_is_shown_and_nothing_is_touched(made: Made, tmp_path: Path) -> None:
    answer = call("organize", made.out, "--to", tmp_path / "sorted", "--dry-run")
    assert answer.code == 0
    assert answer.out.startswith(f"Plan: copy {PICTURES} files of {made.photos} into {tmp_path / 'sorted'}\n")
    assert "\npicture 0.jpg" in answer.out
    rows = call("organize", made.out, "--to", tmp_path / "sorted", "--dry-run", "--json").json
    assert len(rows) == PICTURES
    assert not (tmp_path / "sorted").exists()


@pytest.mark.parametrize(("mode", "word"), [("copy", "copied"), ("move", "moved"), ("hardlink", "linked")])
def test_organize_again_and_undo(fresh: Made, mode: str, word: str) -> None:
    call("run", "small.yaml", "my photos", "--on", "local", "--quiet")
    before = files(fresh.photos)
    command = ("organize", "out", "--to", "my set", "--mode", mode, "--rule", "label@original", "--yes")
    first = call(*command)
    assert first.code == 0, first.err
    assert re.fullmatch(rf"my set: {PICTURES} files {word} in [\d.]+ s\nnext:\n  shoal undo 'my set'\n", first.out)
    assert len(files(fresh.folder / "my set")) == PICTURES
    again = call(*command)
    assert again.out.startswith(f"my set: {PICTURES} files there already in ")
    undone = call("undo", "my set")
    assert undone.out.startswith(f"my set: {PICTURES} files taken back in ")
    assert files(fresh.photos) == before
    assert files(fresh.folder / "my set") == {}
    assert call("undo", "my set").out == "my set: nothing to undo\n"
    assert call("undo", "my set", "--json").json == []


def test_a_changed_file_is_left_and_told_with_code_1(fresh: Made) -> None:
    call("run", "small.yaml", "my photos", "--on", "local", "--quiet")
    call("organize", "out", "--to", "sorted", "--yes")
    name, _ = next(iter(files(fresh.folder / "sorted").items()))
    (fresh.folder / "sorted" / name).write_text("mine now")
    answer = call("undo", "sorted")
    assert answer.code == 1
    assert f"{PICTURES - 1} files taken back" in answer.out
    assert "1 files refused" in answer.out
    assert (fresh.folder / "sorted" / name).read_text() == "mine now"
    assert "left as they are" in answer.err or "left as they were" in answer.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--to", "{}/s"], "nobody is there to ask; add --yes to go ahead, or --dry-run to only look"),
        (["--to", "{}/s", "--yes", "--mode", "cp"], "--mode is copy, move or hardlink, not 'cp'"),
        (["--to", "{}/s", "--yes", "--rule", "label@orignal"], "did you mean 'label@original'?"),
        (["--to", "{}/s", "--yes", "--set", "yolo"], "--set yolo: write OPTION=VALUE, such as yolo_images=images"),
        (["--to", "{}/s", "--yes", "--set", "yolo_images=a/b"], "'a/b' is no name of one folder"),
        (["--to", "{}/a file", "--yes"], "is no folder; name a folder to organise into"),
        (["--to", "{out}/sorted", "--yes"], "lies in shoal's own folder"),
    ],
)
def test_what_organize_refuses(made: Made, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    (tmp_path / "a file").write_text("mine")
    answer = call("organize", made.out, *[word.format(tmp_path, out=made.out) for word in arguments])
    assert answer.code == 2
    assert answer.out == ""
    assert sentence in answer.sentence
    assert files(tmp_path) == {"a file": b"mine"}


def test_organize_needs_clusters(fresh: Made) -> None:
    Path("plain.yaml").write_text("shoal: 1\nsteps:\n  - use: index.folder\n  - use: thumbnail.jpeg\n")
    ran = call("run", "plain.yaml", "my photos", "--on", "local", "--quiet")
    assert "organize" not in ran.out
    assert "9 images; 9 of 11 files accepted" in ran.out
    answer = call("organize", "out", "--to", "sorted", "--yes")
    assert answer.code == 2
    assert "has no clusters to organise by" in answer.sentence


def test_undo_of_what_was_never_organised(tmp_path: Path) -> None:
    missing, other = call("undo", tmp_path / "none"), call("undo", tmp_path)
    assert missing.code == 2
    assert "is no folder; name the folder given to `shoal organize --to`" in missing.sentence
    assert other.code == 1
    assert "shoal organised nothing there" in other.sentence
    assert list(tmp_path.iterdir()) == []


def test_export(made: Made, tmp_path: Path) -> None:
    listed = call("export", made.out, "--as", "csv", "--to", tmp_path / "files")
    assert listed.code == 0
    assert [Path(line).name for line in listed.out.splitlines()] == [
        "files.csv",
        "images.csv",
        "label.csv",
        "run_config.yaml",
    ]
    assert call("export", made.out, "--as", "csv", "--to", tmp_path / "files", "--json").json == listed.out.splitlines()
    wrong = call("export", made.out, "--as", "cvs", "--to", tmp_path / "files")
    assert (wrong.code, wrong.sentence) == (2, "there is no export 'cvs'; did you mean 'csv'?")


def test_export_replaces_nothing_of_the_user(made: Made, tmp_path: Path) -> None:
    (tmp_path / "images.csv").write_text("mine")
    refused = call("export", made.out, "--to", tmp_path)
    assert refused.code == 2
    assert "choose another folder, or replace it with --force" in refused.sentence
    assert (tmp_path / "images.csv").read_text() == "mine"
    assert call("export", made.out, "--to", tmp_path, "--force").code == 0


def test_new_plugin_prints_commands_that_work_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = call("new-plugin", "shoal-sepia")
    assert answer.code == 0
    assert "next:\n  pip install -e ./shoal-sepia\n  python -m pytest shoal-sepia\n  shoal stages\n" in answer.out
    assert all((tmp_path / line).is_file() for line in answer.out.partition("next:")[0].splitlines())
    again = call("new-plugin", "shoal-sepia")
    assert (again.code, "exists already" in again.sentence) == (2, True)
