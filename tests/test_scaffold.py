"""`shoal new-plugin`: what it writes installs, is found, and passes its own tests and gates; bad names are refused."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.errors import UsageError
from shoal.scaffold import new_plugin

pytestmark = pytest.mark.processes

OFFLINE = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet")


def run(*command: str, cwd: Path, path: Path | None = None) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "SHOAL_PLUGINS"}
    environment |= {} if path is None else {"PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new")
    new_plugin("shoal-hue", folder)
    return folder / "shoal-hue"


def test_it_says_what_it_wrote(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "shoal-hue"
    written = new_plugin("shoal-hue", folder.parent)
    assert [str(path.relative_to(folder)) for path in written] == [
        "README.md",
        "pyproject.toml",
        "shoal_hue/__init__.py",
        "shoal_hue/py.typed",
        "tests/test_shoal_hue.py",
    ]
    assert list(folder.parent.iterdir()) == [folder]
    left = [path for path in written if re.search(r"\$\w|MODULE", path.read_text())]
    assert left == []


def test_the_wheel_passes_its_own_tests(package: Path, tmp_path: Path) -> None:
    run("pip", "install", *OFFLINE, "--target", str(tmp_path / "site"), str(package), cwd=tmp_path)
    said = run("pytest", "-q", "-p", "no:cacheprovider", str(package / "tests"), cwd=package, path=tmp_path / "site")
    assert "5 passed" in said


def test_an_editable_install_follows_the_source(package: Path, tmp_path: Path) -> None:
    run("pip", "install", *OFFLINE, "--target", str(tmp_path / "site"), "--editable", str(package), cwd=tmp_path)
    (line,) = [path.read_text().strip() for path in (tmp_path / "site").glob("*.pth")]
    assert line == str(package)
    code = (
        f"import site; site.addsitedir({str(tmp_path / 'site')!r})\n"
        "from shoal.host import Host; print(Host(builtins=()).stage('embed.hue').__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "shoal_hue\n", done.stderr


def test_it_is_clean(package: Path) -> None:
    for command in (("ruff", "check", "--no-cache", "."), ("ruff", "format", "--no-cache", "--check", ".")):
        run(*command, cwd=package)


@pytest.mark.slow
def test_it_is_typed(package: Path) -> None:
    assert "no issues" in run("mypy", "--cache-dir", os.devnull, cwd=package, path=package)


@pytest.mark.parametrize(
    ("name", "module", "stage"),
    [
        ("shoal-hue", "shoal_hue", "hue"),
        ("Shoal.Colour_Histogram", "shoal_colour_histogram", "colour_histogram"),
        ("acme-embedder", "acme_embedder", "acme_embedder"),
    ],
)
def test_names_follow_the_packages(tmp_path: Path, name: str, module: str, stage: str) -> None:
    new_plugin(name, tmp_path)
    assert f'name = "{stage}"' in (tmp_path / name / module / "__init__.py").read_text()
    assert f'{stage} = "{module}"' in (tmp_path / name / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "can't be a package's name"),
        ("-hue", "can't be a package's name"),
        ("hue-", "can't be a package's name"),
        ("shoal hue", "can't be a package's name"),
        ("../shoal-hue", "can't be a package's name"),
        ("shoal-hüe", "can't be a package's name"),
        ("shoal-" + "h" * 60, "at most 60"),
        ("3d-shoal", "start both with a letter"),
        ("shoal-3d", "start both with a letter"),
        ("class", "start both with a letter"),
        ("shoal", "'shoal' exists already"),
        ("shoal-plugins", "'shoal_plugins' exists already"),
        ("json", "'json' exists already"),
        ("numpy", "'numpy' exists already"),
    ],
)
def test_bad_names_are_refused_before_anything_is_written(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        new_plugin(name, tmp_path / "p")
    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_a_plugin_has_is_refused(package: Path, tmp_path: Path) -> None:
    run("pip", "install", *OFFLINE, "--target", str(tmp_path / "site"), str(package), cwd=tmp_path)
    (tmp_path / "again.py").write_text(
        "from pathlib import Path\n"
        "from shoal.errors import UsageError\n"
        "from shoal.scaffold import new_plugin\n"
        "for name in ('hue', 'shoal-hue'):\n"
        "    try:\n"
        "        new_plugin(name, Path('q'))\n"
        "    except UsageError as error:\n"
        "        print(error)\n"
    )
    said = run("again", cwd=tmp_path, path=tmp_path / "site").splitlines()
    assert "embed.hue, which shoal_hue has" in said[0]
    assert "'shoal_hue' exists already" in said[1]
    assert not (tmp_path / "q").exists()


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shoal-hue").mkdir()
    (tmp_path / "shoal-hue" / "kept").write_text("mine")
    (tmp_path / "shoal-file").write_text("mine")
    (tmp_path / "shoal-link").symlink_to(tmp_path / "nowhere")
    for name in ("shoal-hue", "shoal-file", "shoal-link"):
        with pytest.raises(UsageError, match="exists already"):
            new_plugin(name, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shoal-file", "shoal-hue", "shoal-link"]
    assert [path.name for path in (tmp_path / "shoal-hue").iterdir()] == ["kept"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "shoal-hue").mkdir()
    new_plugin("shoal-hue", tmp_path)
    assert (tmp_path / "shoal-hue" / "pyproject.toml").is_file()
    assert stat.S_IMODE((tmp_path / "shoal-hue").stat().st_mode) & 0o500 == 0o500


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="can't be written"):
        new_plugin("shoal-hue", tmp_path / "file")
