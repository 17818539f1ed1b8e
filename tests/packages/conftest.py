"""Installs the little packages of this folder for real, once a session, and runs code beside chosen ones."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACKAGES = ("good", "broken_import", "duplicate_name", "misspelt_hook", "abstract_stage")
Beside = Callable[..., "subprocess.CompletedProcess[str]"]


def pip(*arguments: str) -> None:
    """Run pip without a network; show what it said when it fails."""
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *arguments, *offline], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One site folder a package: each built as a wheel and installed alone."""
    root = tmp_path_factory.mktemp("sites")
    pip("wheel", "--wheel-dir", str(root / "wheels"), *(str(HERE / name) for name in PACKAGES))
    for name in PACKAGES:
        (wheel,) = (root / "wheels").glob(f"shoal_test_{name}-*.whl")
        pip("install", "--target", str(root / name), str(wheel))
    return {name: root / name for name in PACKAGES}


@pytest.fixture
def beside(sites: dict[str, Path]) -> Beside:
    """Run Python code in a process that sees the named packages installed."""

    def run(code: str, *names: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        path = os.pathsep.join(str(sites[name]) for name in names)
        clean = {key: value for key, value in os.environ.items() if key != "SHOAL_PLUGINS"}
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**clean, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
