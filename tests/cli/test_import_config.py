"""`shoal import-config` as people give it: what it prints, writes and refuses."""

import shlex
from pathlib import Path

import pytest

from shoal.host import Host
from shoal.pipeline import load

from .conftest import Made, call

OLD = """# an old configuration
data:
  input_dir: "{photos}"
  imageFormats: [jpg]
clustering:
  hdbscan: {{min-cluster-size: 3}}
vlm: {{scale: skip}}
output: {{output_root: res}}
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    file = tmp_path / "old.yaml"
    file.write_text("sampling: {top_k: 3}\nembedding: {prefetch: 4, workers: 2}\nvlm: {api_key: sk-hush}\n")
    return file


def test_a_pipeline_file_notes_and_commands(old: Path, tmp_path: Path) -> None:
    to = tmp_path / "made.yaml"
    answer = call("import-config", old, "--to", to)
    assert answer.code == 0
    assert answer.err.splitlines() == [
        f"note: {old}:2: `prefetch`: no effect, because every worker is kept supplied with two lots of images, whatever "
        "their size",
        f"note: {old}:2: `workers`: no effect, because as many workers run as the CPUs or GPUs allow; "
        "`--set embed.run.actors=N` gives a number",
        f"note: {old}:3: `api_key`: no effect, because no endpoint is asked (source); a key is never copied",
    ]
    first, next_, *shell = answer.out.splitlines()
    assert (first.startswith(f"{to}: "), next_) == (True, "next:")
    assert [shlex.split(line)[:2] for line in shell] == [["shoal", "run"], ["shoal", "organize"], ["shoal", "export"]]
    assert load(to, Host(allow=())).step("sample").stage.model_dump()["per_cluster"] == 3
    assert "hush" not in to.read_text() + answer.out + answer.err


def test_as_json(old: Path, tmp_path: Path) -> None:
    to = tmp_path / "made.yaml"
    answer = call("import-config", old, "--to", to, "--json")
    assert set(answer.json) == {"pipeline", "text", "space", "commands", "notes"}
    assert answer.json["text"] == to.read_text()
    assert len(answer.json["notes"]) == 3
    assert answer.err == ""


def test_a_file_that_is_there_stays(old: Path, tmp_path: Path) -> None:
    to = tmp_path / "made.yaml"
    to.write_text("mine")
    assert call("import-config", old, "--to", to).sentence.endswith(
        "name another file with --to, or replace it with --force"
    )
    assert to.read_text() == "mine"
    assert call("import-config", old, "--to", to, "--force").code == 0
    assert to.read_text() != "mine"
    assert "can't be written" in call("import-config", old, "--to", tmp_path / "none" / "made.yaml").sentence


@pytest.mark.parametrize(
    "text", ["foo: 1", "a: [", "\tx", "- 1", "seed: x", "seed: 1\nseed: 1", "seed: &a [*a]", "\x00", "hdbscan: 1"]
)
def test_what_is_wrong_is_one_sentence_and_writes_nothing(text: str, tmp_path: Path) -> None:
    old, to = tmp_path / "old.yaml", tmp_path / "made.yaml"
    old.write_text(text)
    answer = call("import-config", old, "--to", to)
    assert answer.code == 2
    assert str(old) in answer.sentence
    assert not to.exists()


def test_terminals_are_safe_from_old_files(tmp_path: Path) -> None:
    old = tmp_path / "old\x1b[31m.yaml"
    old.write_text('"foo\\x1b[31mbar\\n": 1\nseed: 4\n')
    assert "\x1b" not in call("import-config", old, "--to", tmp_path / "made.yaml").err
    made = call("import-config", old, "--to", tmp_path / "made.yaml", "--ignore-unknown")
    assert made.code == 0
    assert "\x1b" not in made.out + made.err + (tmp_path / "made.yaml").read_text()


def test_an_empty_file_is_the_workflow_as_it_was(tmp_path: Path) -> None:
    old, to = tmp_path / "old.yaml", tmp_path / "made.yaml"
    old.write_text("# nothing\n")
    assert call("import-config", old, "--to", to).code == 0
    assert load(to, Host(allow=())).step("embed").stage.model_dump()["model"] == "facebook/dinov2-large"


@pytest.mark.slow
def test_what_is_imported_runs(fresh: Made) -> None:
    """Without a download: shoal's own embedder, no captions; the commands are those that were printed."""
    Path("old.yaml").write_text(OLD.format(photos=fresh.photos))
    run, organize, export = call("import-config", "old.yaml", "--shoal-defaults", "--json").json["commands"]
    answer = call(
        *shlex.split(run)[1:],
        "--on",
        "local",
    )
    assert answer.code == 0, answer.err
    other = ("--set", "embed.fit=crop", "--set", "caption=tags", "--on", "local")  # tags of the captioned images only
    answer = call(*shlex.split(run)[1:], *other, "--json")
    assert answer.code == 0, answer.err
    rows = {step["step"]: step["rows"] for step in answer.json["steps"]}
    assert rows["tags"] == rows["caption"]
    assert call(*shlex.split(export)[1:]).code == 0
    assert Path("res/workflow/S2_clustering.csv").is_file()
    assert call(*shlex.split(organize)[1:], "--yes").code == 0
    assert Path("res/sorted").is_dir()
