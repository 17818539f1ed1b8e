"""The entry points of `ray job submit`: each is the command of its name, and takes what its first lines show."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from shoal.cli.app import build

from ..cli.conftest import call

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
JOBS = sorted((ROOT / "ray_jobs").glob("*.py"))


def test_there_is_one_for_all_that_a_cluster_runs() -> None:
    assert [path.stem for path in JOBS] == ["review", "run", "serve", "tune"]


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_each_is_the_command_of_its_name(path: Path) -> None:
    done = subprocess.run([sys.executable, path, "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, call(path.stem, "--help").out), done.stderr


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_its_example_is_understood(path: Path) -> None:
    (example,) = [line for line in path.read_text().splitlines() if line.startswith("ray job submit")]
    script, *words = shlex.split(example.partition("-- python ")[2])
    assert script == path.name
    command = get_command(build([path.stem])).commands[path.stem]  # type: ignore[attr-defined]
    if hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    command.make_context(path.stem, words)  # an option that there is not is refused
