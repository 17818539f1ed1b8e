"""Wheels for a cluster: installed by pip without an index, they are the shoal and the plugins of the one who packed them."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import UsageError
from shoal.submitting.job import _foreign, _plain
from shoal.submitting.packing import Wheel, _below, _cause, own_wheel, plugin_wheel
from tests.packages.conftest import HERE, pip

SHOW = """
import json, sys
sys.path[:0] = sys.argv[1:]
import shoal
from importlib.metadata import requires
from shoal.host import Host
from shoal.pipeline import load
host = Host()
print(json.dumps({
    "file": shoal.__file__, "requires": requires("shoal"), "broken": [b.name for b in host.broken],
    "found": [[plugin.name, plugin.distribution] for plugin in host.plugins if plugin.distribution],
    "steps": len(load("quickstart", host, []).steps),
}))
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--wheel-dir", str(folder), str(HERE / "good"))
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.slow
def test_packed_wheels_work_where_pip_puts_them(plugin: Path, tmp_path: Path) -> None:
    """As Ray installs them: `pip install WHEEL --target`, which would fetch anew whatever they required."""
    packed = [own_wheel(), plugin_wheel(plugin)]
    for wheel in packed:
        (tmp_path / wheel.name).write_bytes(wheel.data)
        command = [sys.executable, "-m", "pip", "install", "--no-index", "--quiet", f"--target={tmp_path / wheel.name[:5]}"]
        subprocess.run([*command, str(tmp_path / wheel.name)], check=True, timeout=120)
    site = tmp_path / "shoal"
    done = subprocess.run(
        [sys.executable, "-I", "-c", SHOW, str(site)], capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path
    )
    seen = json.loads(done.stdout)
    assert Path(seen["file"]).is_relative_to(tmp_path)
    assert not seen["requires"]
    assert seen["broken"] == []
    assert seen["found"] == [["good", f"shoal-test-good {packed[1].name.split('-')[1]}"]]
    assert seen["steps"] > 5


def test_the_same_content_has_the_same_name_and_another_one_another(plugin: Path, tmp_path: Path) -> None:
    first, second = plugin_wheel(plugin), plugin_wheel(plugin)
    assert first == second
    other = tmp_path / plugin.name
    with zipfile.ZipFile(plugin) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name) + (b"\n# more" if name.endswith("__init__.py") else b""))
    assert plugin_wheel(other).name != first.name
    assert own_wheel().name == own_wheel().name


def test_what_a_plugin_requires_besides_shoal_is_told(plugin: Path) -> None:
    own = Wheel("shoal-1+h0-py3-none-any.whl", b"", ("numpy>=1.26", "ray[default]>=2.50", "timm>=1; extra == 'timm'"))
    needs = ("shoal>=0.1", "NumPy", "some.thing_else>=2; python_version > '3'", "tests; extra=='dev'", "brother", "timm")
    mine, brother = Wheel("my-1-py3-none-any.whl", b"", needs), Wheel("brother-1-py3-none-any.whl", b"")
    wanted = ["some.thing_else>=2; python_version > '3'", "timm"]  # shoal itself wants timm only as an extra
    assert _foreign(mine, [own, mine, brother]) == wanted
    assert _foreign(own, [own, mine]) == []
    assert plugin_wheel(plugin).requires == ("shoal",)


@given(
    st.from_regex(r"[A-Za-z][A-Za-z0-9]*([-_.]+[A-Za-z0-9]+)*", fullmatch=True),
    st.sampled_from(["", ">=1", "[a]", " ; x", "==2"]),
)
def test_names_of_requirements(name: str, rest: str) -> None:
    assert _plain(name + rest) == _plain(name.upper().replace("_", "-").replace(".", "-"))


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (
            "  error: subprocess-exited-with-error\n      ValueError: Invalid version `x`.\n  note: This error originates\n"
            "error: metadata-generation-failed\n\nnote: This is an issue with the package\nhint: See above for details.\n",
            "ValueError: Invalid version `x`",
        ),
        (
            "ERROR: Exception:\nTraceback\npip._vendor.tomli.TOMLDecodeError: Invalid value\n",
            "TOMLDecodeError: Invalid value",
        ),
        ("ERROR: Directory 'x' is not installable.\n\n", "ERROR: Directory 'x' is not installable"),
        ("gone\n", "gone"),
        ("\n", "it makes no wheel"),
    ],
)
def test_why_a_folder_can_t_be_built(said: str, cause: str) -> None:
    """pip's last line is a hint to look above, where the user of `shoal submit` sees nothing."""
    assert _cause(said).endswith(cause)


def test_what_is_no_plugin_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a-1-cp311-cp311-linux_x86_64.whl").write_bytes(b"")
    (tmp_path / "b-1-py3-none-any.whl").write_bytes(b"no zip")
    for name, said in {
        "a-1-cp311-cp311-linux_x86_64.whl": "no wheel of pure Python",
        "b-1-py3-none-any.whl": "can't be read",
    }.items():
        with pytest.raises(UsageError, match=said):
            plugin_wheel(tmp_path / name)


def test_what_lies_about_in_a_package_does_not_travel(tmp_path: Path) -> None:
    """Settings of whoever works there, and caches, which would also give another name each time."""
    for name in (
        "__init__.py",
        "page.html",
        "sub/a.py",
        ".env",
        "sub/.a.py.swp",
        "__pycache__/a.nbi",
        "sub/__pycache__/a.pyc",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    assert [path.as_posix() for path in _below(tmp_path)] == ["__init__.py", "page.html", "sub/a.py"]
