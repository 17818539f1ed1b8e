"""The commands of Label Studio: `shoal review open`, and those of the modules named below. Light to import."""

import importlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import typer

from shoal.hooks import hookimpl

if TYPE_CHECKING:
    from shoal.records import Finding

MODULES = ("shoal_ls.open_command", "shoal_ls.sync_commands", "shoal_ls.serve_command")
"""Modules with a function `add(cli)`, in the order in which their commands are listed."""


@hookimpl
def shoal_commands(cli: typer.Typer) -> None:
    """Add the commands."""
    for name in MODULES:
        importlib.import_module(name).add(cli)


@hookimpl
def shoal_doctor(asked: Mapping[str, str]) -> "Iterable[Finding]":
    """Return what is to be said of a Label Studio server, where one was asked about."""
    if "label-studio" not in asked:
        return ()
    from shoal_ls.doctor import look

    return look(asked["label-studio"], asked.get("out"))


def review_group(cli: typer.Typer) -> typer.Typer:
    """Return the group of commands `shoal review`, which the core begins."""
    groups = (group.typer_instance for group in cli.registered_groups)
    return next(group for group in groups if group is not None and group.info.name == "review")
