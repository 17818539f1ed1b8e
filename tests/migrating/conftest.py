"""Old configuration files, imported without a command line."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from shoal.host import Host
from shoal.migrating import Imported, import_config

Import = Callable[..., Imported]


@pytest.fixture(scope="package")
def host() -> Host:
    return Host(allow=())


@pytest.fixture
def imported(host: Host, tmp_path: Path) -> Import:
    """Import what a test says: a mapping, or the text of a file."""
    numbers = itertools.count()

    def run(old: dict[str, Any] | str, **options: Any) -> Imported:
        file = tmp_path / f"old{next(numbers)}.yaml"
        file.write_text(old if isinstance(old, str) else yaml.safe_dump(old, sort_keys=False), encoding="utf-8")
        return import_config(file, host, **options)

    return run
