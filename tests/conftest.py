"""Real data for the tests: fetched once, kept outside the checkout's history, by one of the processes that run tests."""

import contextlib
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.label_studio.server import LabelStudio, fresh

ROOT = Path(__file__).parents[1]
Shoal = Callable[..., "subprocess.CompletedProcess[str]"]

with contextlib.suppress(ModuleNotFoundError):  # the environment of vLLM has no Hypothesis
    from hypothesis import settings

    # Every test has its timeout; a deadline an example would fail where other tests have the cores.
    settings.register_profile("patient", settings.default, deadline=None)
    settings.load_profile("patient")


SHARED = {
    "tests/label_studio/": "label_studio",
    "tests/end_to_end/test_review_": "label_studio",
    "tests/runner/": "ray_cluster",
}
"""Files, by how their paths begin, that share a fixture which is costly to make."""

LONGEST = ("tests/benchmarks/test_benchmarks.py", "tests/docs/test_blocks.py", "label_studio", "ray_cluster")
"""Groups of slow tests that take minutes. They begin, so that at the end no worker is alone for long."""


def group_of(nodeid: str) -> str:
    """Return what the slow tests are called that stay on a worker with this one: those of its file, or of several."""
    file = nodeid.partition("::")[0]
    return next((group for start, group in SHARED.items() if file.startswith(start)), file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest groups of slow tests first."""
    order = {group: place for place, group in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(group_of(item.nodeid), 9) if item.get_closest_marker("slow") else 9)


@pytest.hookimpl(optionalhook=True)  # the environment of vLLM has no xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Hand groups to workers where files would be handed out: `--dist loadgroup` of xdist 3.8 does nothing on pytest 9."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Groups(config, log)


@pytest.fixture(scope="session")
def cache(request: pytest.FixtureRequest) -> Path:
    """Folder that outlives a test run: SHOAL_TEST_CACHE, else pytest's own cache."""
    named = os.environ.get("SHOAL_TEST_CACHE")
    folder = Path(named) if named else Path(str(request.config.cache.mkdir("shoal")))  # type: ignore[union-attr]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def fetching(cache: Path) -> FileLock:
    """Held while packages are fetched: two processes can't refresh apt's lists at once."""
    return FileLock(cache / "fetching.lock")


@pytest.fixture(scope="session")
def photo_set(cache: Path, fetching: FileLock) -> Path:
    """The 214 labelled photographs of the demo, a folder a class."""
    folder = cache / "photos"
    command = [sys.executable, str(ROOT / "examples" / "fetch_photos.py"), str(folder)]
    with fetching:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if len(list(folder.rglob("*.webp"))) != 214:
        pytest.fail(f"the photo set can't be fetched: {done.stdout}{done.stderr}")
    return folder


@pytest.fixture(scope="session")
def yolo_set(photo_set: Path, cache: Path, fetching: FileLock) -> Path:
    """A composed YOLO set of 120 images in `img/`, seven of them without a label in `lab/`."""
    folder = cache / "yolo"
    command = [sys.executable, str(ROOT / "examples" / "compose_yolo.py"), str(folder), "--missing", "7"]
    command += ["--photos", str(photo_set), "--downloads", str(cache / "stamps")]
    with fetching:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        pytest.fail(f"the YOLO set can't be composed: {done.stdout}{done.stderr}")
    return folder


PILLOW = "12.0.0"


@pytest.fixture(scope="session")
def corpus(cache: Path) -> list[Path]:
    """Pillow's own 1,058 test files, good, odd and malicious, out of its source package; fetched once."""
    folder = cache / f"pillow-{PILLOW}" / "images"
    with FileLock(cache / "pillow.lock"):
        if not folder.is_dir():
            _fetch_corpus(cache)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _fetch_corpus(cache: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", "pillow", f"pillow=={PILLOW}", "--dest", str(cache)]  # `:all:` would build its builders too
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    if done.returncode:
        pytest.fail(f"the corpus can't be fetched: {done.stderr.strip()[-300:]}")
    archive = cache / f"pillow-{PILLOW}.tar.gz"
    part = f"pillow-{PILLOW}/Tests/"
    with tarfile.open(archive) as source:
        members = [member for member in source.getmembers() if member.name.startswith(f"{part}images/")]
        for member in members:
            member.name = member.name.removeprefix(part)
        unpacked = cache / f"unpacking-{os.getpid()}"
        source.extractall(unpacked, members, filter="data")
    target = cache / f"pillow-{PILLOW}"
    if not target.exists():
        unpacked.rename(target)
    archive.unlink()


@pytest.fixture(scope="session")
def shoal() -> Shoal:
    """Run the command line in a process of its own: `shoal("run", "quickstart", ...)`."""

    def call(
        *arguments: object, code: int | None = 0, env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
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


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[LabelStudio]:
    """A real server; its document root is `label_studio.files`. Tests make projects of their own."""
    server = fresh(cache, tmp_path_factory.mktemp("label-studio"))
    yield server
    server.stop()
