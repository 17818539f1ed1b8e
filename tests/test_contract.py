"""Every built-in stage keeps the contract and is documented: the list comes from the host, so none is left out."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shoal.builtins import BUILTINS, COMMANDS
from shoal.contract import Context, Stage
from shoal.host import Host
from shoal.kinds import KINDS
from shoal.testing import check_stage

from .contract_cases import CASES

HOST = Host(allow=())
STAGES = list(HOST.stages.values())


def titled(function: Callable[..., Any]) -> Any:
    return pytest.mark.parametrize("cls", STAGES, ids=lambda cls: cls.title())(function)


def test_every_built_in_loads() -> None:
    assert HOST.broken == []
    assert len(HOST.plugins) == len(BUILTINS) + len(COMMANDS)


def test_there_is_a_built_in_of_every_kind() -> None:
    assert {kind.kind for kind in KINDS} <= {stage.kind for stage in STAGES}


@titled
def test_it_keeps_the_contract(cls: type[Stage], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    made, given = CASES.get(cls.title(), lambda folder: ({}, {}))(tmp_path)
    cache = tmp_path_factory.getbasetemp() / "cache"
    check_stage(cls(**made), context=Context(cache=cache), **given)


@titled
def test_its_docstring_is_its_documentation(cls: type[Stage]) -> None:
    assert cls.__dict__.get("__doc__"), f"{cls.__name__} has no docstring of its own"
    first, *rest = inspect.cleandoc(cls.__doc__ or "").splitlines()
    assert first.endswith("."), first
    assert len(first) <= 125
    assert not rest or rest[0] == "", "the first line of the docstring stands alone"


@titled
def test_every_option_is_explained(cls: type[Stage]) -> None:
    for name, option in cls.model_fields.items():
        assert option.description, f"{cls.title()}.{name} has no description"
        assert option.description.strip().endswith((".", ")", "`")) or len(option.description) < 200
        assert cls.title() in CASES or not option.is_required(), f"{cls.title()}.{name} has no default"


@titled
def test_it_is_made_by_a_plugin_file_of_its_name(cls: type[Stage]) -> None:
    assert cls.__module__ == f"shoal_plugins.{cls.kind}.{cls.name}"
    assert len(inspect.getsource(inspect.getmodule(cls)).splitlines()) <= 400  # type: ignore[arg-type]
