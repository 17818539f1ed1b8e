"""What a newcomer may get wrong: each answer is one sentence with the mend, and nothing is left behind."""

import json
from pathlib import Path

import pytest

from shoal.errors import StoreError

from .conftest import Made, call

MISTAKES = [
    ("quikstart {}", "there is no recipe 'quikstart'; did you mean 'quickstart'?"),
    ("smal.yaml {}", "there is no pipeline file 'smal.yaml'; did you mean 'small.yaml'?"),
    ("small.yaml phots", "phots does not exist; name a folder of images, a file, or a URI such as s3://bucket/folder"),
    ("small.yaml {} --set cluster.kk=3", "cluster.kk=3: option `kk` of cluster.kmeans does not exist; did you mean 'k'?"),
    ("small.yaml {} --set clutser.k=3", "clutser.k=3: there is no step 'clutser'; did you mean 'cluster'?"),
    ("small.yaml {} --set k=3", "--set k=3: 'k' is an option, not a step; did you mean cluster.k?"),
    ("small.yaml {} --set cluster=kmean", "there is no stage 'kmean' of kind 'cluster'; did you mean 'kmeans'?"),
    ("small.yaml {} --set cluster.k=many", "option `k` of cluster.kmeans must be a whole number, not 'many'"),
    ("small.yaml {} --force clusters", "--force names 'clusters', which is no step of small"),
    ("small.yaml {} --on spark", "--on is auto, local or ray, not 'spark'"),
    ("small.yaml {} --preset smal", "there is no preset 'smal'; did you mean 'small'?"),
    ("small.yaml {} --preset huge", "preset 'huge' does not fit small.yaml"),
    ("small.yaml {} --out small.yaml", "is a file; --out names a folder"),
    ("small.yaml {} --out {}", "holds other things (broken.jpg ...); --out names a new folder or one of shoal's"),
]


@pytest.mark.parametrize(("command", "sentence"), MISTAKES, ids=[command for command, _ in MISTAKES])
def test_run(fresh: Made, command: str, sentence: str) -> None:
    before = sorted(path.name for path in fresh.photos.iterdir())
    answer = call("run", *[word.format("my photos") for word in command.split()])
    assert answer.code == 2
    assert answer.out == ""
    assert sentence in answer.sentence
    assert sorted(path.name for path in fresh.photos.iterdir()) == before
    kept = fresh.out / "runs"
    assert not kept.exists() or sentence.startswith("--force")


@pytest.mark.parametrize(
    ("content", "code", "sentence"),
    [({}, 2, "holds no file; name a folder of images"), ({"a.txt": "x"}, 1, "an image that can be read"),
     ({"a.jpg": "x", "b.txt": "y"}, 1, "an image that can be read")],
)  # fmt: skip
def test_folders_without_images(fresh: Made, content: dict[str, str], code: int, sentence: str) -> None:
    Path("other").mkdir()
    for name, text in content.items():
        (Path("other") / name).write_text(text)
    answer = call("run", "small.yaml", "other", "--on", "local", "--quiet")
    assert answer.code == code
    assert sentence in answer.sentence


@pytest.mark.parametrize(
    "arguments",
    [["run", "small.yaml", ""], ["run", "small.yaml", "my photos", "--out", ""], ["organize", "out", "--to", ""]],
)
def test_an_empty_argument_is_not_the_working_folder(fresh: Made, arguments: list[str]) -> None:
    answer = call(*arguments, "--yes")
    assert answer.code == 2
    assert answer.sentence.startswith(f"the argument after {arguments[-2]} is empty; ")
    assert not fresh.out.exists()


def test_one_file_is_a_set_too(fresh: Made) -> None:
    answer = call("run", "small.yaml", "my photos/picture 0.jpg", "--on", "local", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["images"] == 1


def test_a_mistake_in_a_file_names_its_line(fresh: Made) -> None:
    fresh.pipeline.write_text(fresh.pipeline.read_text().replace("{k: 3}", "{kay: 3}"))
    answer = call("run", "small.yaml", "my photos")
    assert answer.code == 2
    assert answer.sentence.startswith("small.yaml:8: option `kay` of cluster.kmeans does not exist")


def test_a_store_of_another_format(fresh: Made) -> None:
    fresh.out.mkdir()
    (fresh.out / "shoal.json").write_text(json.dumps({"format": 99}))
    for command in (["run", "small.yaml", "my photos"], ["show", "out"]):
        answer = call(*command)
        assert answer.code == 1
        assert "has store format 99, and this shoal reads" in answer.sentence


def test_a_damaged_record(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "runs" / "20260101-000000-aaaa"
    folder.mkdir(parents=True)
    (tmp_path / "out" / "shoal.json").write_bytes((made.out / "shoal.json").read_bytes())
    (folder / "run.json").write_text('{"id": 1}')
    answer = call("runs", tmp_path / "out")
    assert answer.code == 1
    assert answer.sentence.endswith(f"is damaged or of another shoal; remove {folder}")


def test_an_error_of_the_system_is_no_bug(fresh: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr("shoal.store.Store.open", full)
    answer = call("runs", "out")
    assert answer.code == 1
    assert answer.sentence.startswith("/somewhere: No space left on device; mend that")


def test_a_bug_is_called_one_and_hides_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero\n" + "and so on " * 100)

    monkeypatch.setattr("shoal.store.Store.open", broken)
    answer = call("runs", "out")
    assert answer.code == 1
    assert answer.sentence.startswith("shoal hit a bug (ZeroDivisionError: by zero and so on ")
    assert answer.sentence.endswith(" ...); run again with --debug and report the traceback")
    assert len(answer.sentence) < 400
    assert "ZeroDivisionError: by zero\n" in call("runs", "out", "--debug").err


def test_escapes_of_an_error_do_not_reach_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    def hostile(*_: object) -> None:
        raise StoreError("a\x1b[31mb\x07 is damaged\nshoal: remove everything")

    monkeypatch.setattr("shoal.store.Store.open", hostile)
    assert call("runs", "out").err == "shoal: ab is damaged\nshoal: shoal: remove everything\n"
