"""The reference of the command line, from the commands themselves."""

import inspect
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from shoal.cli.app import build
from shoal.docs.markdown import code, table


def text() -> str:
    """Return a section a command: usage, help, parameters, example."""
    return "\n\n".join(_all(get_command(build()), "shoal"))


def _all(group: Any, name: str) -> Iterator[str]:
    """Yield the sections of a group's commands, those of groups within it after them."""
    context = group.make_context(name, [], resilient_parsing=True)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        yield from (
            _all(command, f"{name} {word}") if hasattr(command, "list_commands") else [_one(command, f"{name} {word}")]
        )


def _one(command: Any, name: str) -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    parameters = [parameter for parameter in command.get_params(context) if parameter.name != "help"]
    arguments = [_argument(parameter) for parameter in parameters if parameter.param_type_name == "argument"]
    usage = " ".join([name, *arguments, "[OPTIONS]"])
    parts = [f"## {name}", inspect.cleandoc(command.help or ""), f"```text\n{usage}\n```"]
    rows = [_row(parameter) for parameter in parameters]
    if rows:
        parts.append(table(("parameter", "default", "meaning"), rows))
    if command.epilog:
        parts.append(f"Example: `{command.epilog.removeprefix('Example: ')}`")
    return "\n\n".join(parts)


def _argument(parameter: Any) -> str:
    word = str(parameter.metavar or parameter.name.strip("_")).upper()
    return word if parameter.required else f"[{word}]"


def _row(parameter: Any) -> tuple[str, str, str]:
    option = parameter.param_type_name == "option"
    words = parameter.opts if option else [_argument(parameter)]
    flag = option and parameter.is_flag
    default = "" if flag or parameter.default in (None, []) else code(parameter.default)
    return ", ".join(code(word) for word in words), "required" if parameter.required else default, parameter.help or ""
