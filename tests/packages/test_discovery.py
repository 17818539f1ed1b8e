"""Third-party packages, good and broken, as a host meets them: installed, found by entry point, guarded."""

import json
from pathlib import Path

import pytest

from .conftest import Beside

pytestmark = pytest.mark.processes

SHOW = """
import json
from shoal.host import Host
host = Host(builtins=())
print(json.dumps({
    "stages": [".".join(key) for key in host.stages],
    "plugins": [[p.name, p.module, p.distribution] for p in host.plugins],
    "broken": [[b.name, b.distribution, b.reason] for b in host.broken],
}))
"""
FAIL = """
from shoal.errors import PluginError
from shoal.host import Host
try:
    Host(builtins=())
except PluginError as error:
    print(error)
"""


def test_a_good_package_is_found(beside: Beside) -> None:
    seen = json.loads(beside(SHOW, "good").stdout)
    assert seen["stages"] == ["embed.brightness"]
    assert seen["plugins"] == [["good", "shoal_test_good", "shoal-test-good 0.1.0"]]
    assert seen["broken"] == []


def test_it_is_found_beside_the_built_ins(beside: Beside) -> None:
    code = "from shoal.host import Host; print(Host().stage('embed.brightness').__module__)"
    assert beside(code, "good").stdout == "shoal_test_good\n"


def test_it_keeps_the_contract(beside: Beside) -> None:
    code = "from shoal.testing import check_stage; from shoal_test_good import Brightness; check_stage(Brightness())"
    done = beside(code, "good")
    assert done.returncode == 0, done.stderr


def test_its_command_joins_the_command_line(beside: Beside) -> None:
    code = """
import sys, typer
from shoal.host import Host
cli = typer.Typer()
cli.callback()(lambda: None)
Host(builtins=()).manager.hook.shoal_commands(cli=cli)
sys.argv = ["shoal", "hello", "you"]
cli()
"""
    assert beside(code, "good").stdout == "hello you\n"


def test_its_listeners_hear_steps_and_runs(beside: Beside, tmp_path: Path) -> None:
    heard = tmp_path / "heard.jsonl"
    code = """
from types import SimpleNamespace
from shoal.host import Host
hook = Host(builtins=()).manager.hook
run = SimpleNamespace(id="r1", status="done")
hook.shoal_stage_done(run=run, record=SimpleNamespace(step="embed"))
hook.shoal_run_done(run=run)
"""
    beside(code, "good", SHOAL_TEST_HEARD=str(heard))
    lines = [json.loads(line) for line in heard.read_text().splitlines()]
    assert lines == [
        {"event": "stage_done", "run": "r1", "step": "embed"},
        {"event": "run_done", "run": "r1", "status": "done"},
    ]


def test_a_broken_import_is_told_and_stops_nobody(beside: Beside) -> None:
    seen = json.loads(beside(SHOW, "broken_import", "good").stdout)
    assert seen["stages"] == ["embed.brightness"]
    assert seen["broken"] == [
        [
            "broken",
            "shoal-test-broken-import 0.1.0",
            "ModuleNotFoundError: No module named 'a_module_that_nobody_has'",
        ]
    ]


def test_a_stage_that_is_missing_points_at_the_broken_package(beside: Beside) -> None:
    code = """
from shoal.errors import UsageError
from shoal.host import Host
try:
    Host(builtins=()).stage("embed.brightnes")
except UsageError as error:
    print(error)
"""
    said = beside(code, "broken_import", "good").stdout
    assert "did you mean embed.brightness?" in said
    assert "could not be loaded: broken" in said


def test_two_stages_of_one_name_are_an_error_that_names_both(beside: Beside) -> None:
    said = beside(FAIL, "good", "duplicate_name").stdout
    assert "embed.brightness" in said
    assert "shoal_test_good" in said
    assert "shoal_test_duplicate" in said
    assert "SHOAL_PLUGINS" in said


def test_a_misspelt_hook_names_the_nearest(beside: Beside) -> None:
    said = beside(FAIL, "misspelt_hook").stdout
    assert "'misspelt' (shoal_test_misspelt)" in said
    assert "unknown hook shoal_stage; did you mean shoal_stages?" in said


def test_an_abstract_stage_names_what_it_lacks(beside: Beside) -> None:
    said = beside(FAIL, "abstract_stage").stdout
    assert said == "shoal_test_abstract: stage Forgetful is abstract; it must define embed\n"


@pytest.mark.parametrize(("allowed", "imported"), [("", False), ("good", False), ("good, broken", True)])
def test_an_unlisted_package_is_not_imported_at_all(beside: Beside, tmp_path: Path, allowed: str, imported: bool) -> None:
    trace = tmp_path / "trace"
    seen = json.loads(beside(SHOW, "good", "broken_import", SHOAL_PLUGINS=allowed, SHOAL_TEST_TRACE=str(trace)).stdout)
    assert trace.exists() is imported
    assert seen["stages"] == (["embed.brightness"] if "good" in allowed else [])
    assert bool(seen["broken"]) is imported


def test_the_allow_list_settles_a_duplicate(beside: Beside) -> None:
    seen = json.loads(beside(SHOW, "good", "duplicate_name", SHOAL_PLUGINS="duplicate").stdout)
    assert seen["plugins"] == [["duplicate", "shoal_test_duplicate", "shoal-test-duplicate-name 0.1.0"]]
