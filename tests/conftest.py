"""Real data for the tests: fetched once, kept outside the checkout's history."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
Shoal = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def cache(request: pytest.FixtureRequest) -> Path:
    """Folder that outlives a test run: SHOAL_TEST_CACHE, else pytest's own cache."""
    named = os.environ.get("SHOAL_TEST_CACHE")
    return Path(named) if named else Path(str(request.config.cache.mkdir("shoal")))  # type: ignore[union-attr]


@pytest.fixture(scope="session")
def photo_set(cache: Path) -> Path:
    """The 214 labelled photographs of the demo, a folder a class."""
    folder = cache / "photos"
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "fetch_photos.py"), str(folder)], capture_output=True, text=True, timeout=600, check=False
    )
    if len(list(folder.rglob("*.webp"))) != 214:
        pytest.fail(f"the photo set can't be fetched: {done.stdout}{done.stderr}")
    return folder


@pytest.fixture
def photos_copy(photo_set: Path, tmp_path: Path) -> Path:
    """A copy of the photo set that a test may change."""
    return Path(shutil.copytree(photo_set, tmp_path / "photos"))


@pytest.fixture(scope="session")
def shoal() -> Shoal:
    """Run the command line in a process of its own: `shoal("run", "quickstart", ...)`."""

    def call(*arguments: object, code: int | None = 0, env: dict[str, str] | None = None, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-c", "from shoal.cli import main; main()", *map(str, arguments)],
            capture_output=True, text=True, timeout=300, check=False, cwd=cwd, stdin=subprocess.DEVNULL,
            env={**os.environ, "SHOAL_MLFLOW": "off", **(env or {})},
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        if code is not None:
            assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return call
