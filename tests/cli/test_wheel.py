"""An installed wheel finds its recipes, presets and schema without the source tree."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import pictures

ROOT = Path(__file__).parents[2]
QUICK = ("reduce=pca", "reduce.components=4", "position=pca", "position.components=2", "cluster=kmeans", "cluster.k=3")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that the wheel was installed into."""
    folder = tmp_path_factory.mktemp("wheel")
    quiet = ["--no-deps", "--no-index", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", str(ROOT), "--no-build-isolation", "--wheel-dir", str(folder)]
    for arguments in (build, ["install", "--target", str(folder / "site"), "--find-links", str(folder), "shoal"]):
        done = subprocess.run(
            [sys.executable, "-m", "pip", *arguments, *quiet], capture_output=True, text=True, timeout=280, check=False
        )
        assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Run:
    """Run the wheel's `shoal` in a folder of its own."""

    def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", "from shoal.cli import main; main()", *map(str, arguments)],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(wheel)}, capture_output=True, text=True, timeout=280,
            check=False,
        )  # fmt: skip

    return run


@pytest.mark.slow
def test_recipes_and_presets_lie_in_the_package(installed: Run, wheel: Path) -> None:
    listed = json.loads(installed("recipes", "--json").stdout)
    assert [Path(recipe["path"]).parent for recipe in listed["recipes"]] == [wheel / "shoal" / "recipes"] * len(
        listed["recipes"]
    )
    assert len(listed["presets"]) == 4
    assert (wheel / "shoal" / "presets.yaml").is_file()
    assert json.loads((wheel / "shoal" / "pipeline.schema.json").read_text()) == json.loads(installed("schema").stdout)


@pytest.mark.slow
def test_what_travels_to_a_cluster_is_what_is_installed(wheel: Path, tmp_path: Path) -> None:
    """`shoal submit` packs this shoal from a checkout and from an installed package alike, file by file."""
    (tmp_path / "pack.py").write_text(
        "import sys; from shoal.submitting.packing import own_wheel; w = own_wheel(); print(w.name)\n"
        "open(sys.argv[1], 'wb').write(w.data)\n"
    )
    packed = []
    for place in ("core:plugins:ls_backend", str(wheel)):
        target = tmp_path / f"{len(packed)}.whl"
        environment = {**os.environ, "PYTHONPATH": place, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-P", str(tmp_path / "pack.py"), str(target)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        with zipfile.ZipFile(target) as archive:
            packed.append({name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name})
    checkout, installed = packed
    assert set(installed) - set(checkout) == {"shoal/pipeline.schema.json"}, "only editors read that one"
    assert {name: installed[name] for name in checkout} == checkout


@pytest.mark.slow
def test_the_quickstart_runs_by_name(installed: Run, tmp_path: Path) -> None:
    pictures(tmp_path / "photos")
    overrides = [word for override in QUICK for word in ("--set", override)]
    ran = installed("run", "quickstart", "photos", "--on", "local", *overrides)
    assert ran.returncode == 0, ran.stderr
    assert "9 images in 3 clusters" in ran.stdout
    organized = installed("organize", "out", "--to", "sorted", "--yes")
    assert organized.returncode == 0, organized.stderr
    assert len(list((tmp_path / "sorted").rglob("*.jpg"))) == 9
    report = tmp_path / installed("report", "out").stdout.strip()
    assert "<html" in report.read_text()
