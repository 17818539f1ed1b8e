"""Help, start-up and wrong use."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from shoal import __version__
from shoal.cli.app import build

from .conftest import call


def _commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[str]:
    for name, command in group.commands.items():
        yield " ".join((*before, name))
        yield from _commands(command, (*before, name)) if hasattr(command, "commands") else ()


COMMANDS = sorted(_commands(get_command(build())))
GROUPS = {"review"}
PRINTS_NO_DATA = {"schema", "serve"}  # the one is JSON anyway, the other writes a log, which is JSON too
HEAVY = ("pyarrow", "pydantic", "ray", "numpy", "rich", "yaml")
SECONDS = 0.5
START = f"""
import sys
from shoal.cli import main
try:
    main(["--help"])
except SystemExit as ended:
    assert ended.code == 0
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


def test_the_commands_are_those_that_the_docs_promise() -> None:
    promised = "run report runs show rejected organize undo export plugins stages new-plugin doctor"
    assert set(COMMANDS) >= set(promised.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    *group, name = command.split()
    answer = call(*group, name, "--help")
    assert answer.code == 0
    example = answer.out.strip().splitlines()[-1].strip()  # on one line, so that it can be copied
    assert example.startswith(f"Example: shoal {command}")
    assert answer.err == ""
    assert "..." not in next(line for line in call(*group, "--help").out.splitlines() if line.startswith(f"  {name} "))


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - PRINTS_NO_DATA - GROUPS))
def test_every_command_that_prints_data_has_json(command: str) -> None:
    assert "--json" in call(*command.split(), "--help").out


def _spent_by_children() -> float:
    """Seconds of processors: those of the clock depend on who else has them."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def test_help_loads_nothing_heavy_and_is_fast() -> None:
    seconds = []
    for _ in range(3):
        began = _spent_by_children()
        done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, timeout=60, check=True)
        seconds.append(_spent_by_children() - began)
        assert done.stderr.strip() == "[]"
        assert "Begin with: shoal run quickstart photos/ --out out/" in done.stdout
    assert min(seconds) < SECONDS


def test_version() -> None:
    assert call("--version").out == f"shoal {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["runn"], "no such command 'runn'; did you mean 'run', 'runs'? `shoal --help` shows how"),
        (["run"], "missing argument 'PIPELINE'; `shoal run --help` shows how"),
        (["run", "quickstart"], "missing argument 'IMAGES'; `shoal run --help` shows how"),
        (["organize", "out"], "missing option '--to'; `shoal organize --help` shows how"),
        (["runs", "out", "--jsonn"], "no such option: --jsonn"),
    ],
)
def test_wrong_use_is_one_sentence(arguments: list[str], sentence: str) -> None:
    answer = call(*arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.sentence.startswith(sentence.split("; did", maxsplit=1)[0])
    assert answer.sentence.endswith("--help` shows how")


def test_debug_shows_the_traceback_and_keeps_the_code(tmp_path) -> None:  # type: ignore[no-untyped-def]
    plain, debug = call("runs", tmp_path / "none"), call("--debug", "runs", tmp_path / "none")
    assert "Traceback" not in plain.err
    assert "Traceback" in debug.err
    assert plain.err.strip() in debug.err
    assert plain.code == debug.code == 2
