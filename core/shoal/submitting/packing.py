"""Wheels that travel to a cluster: shoal itself, from wherever it is imported, and plugins.

Ray caches a wheel by its file name and installs it with `pip install --target`, which fetches whatever it requires anew.
So each wheel has a hash of its content in its version, and requires nothing: the cluster's image brings what shoal needs.
Format: https://packaging.python.org/en/latest/specifications/binary-distribution-format/.
"""

import base64
import hashlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email import message_from_string
from email.policy import compat32
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from shoal.builtins import BUILTINS, COMMANDS
from shoal.errors import UsageError
from shoal.pipeline import recipes
from shoal.presets import path as presets_path

NAME = "shoal"
HASH = 12
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of every file in a wheel: the same content gives the same bytes."""

WHEEL = "Wheel-Version: 1.0\nGenerator: shoal\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
PYTHON = ">=3.11"
SCRIPT = "[console_scripts]\nshoal = shoal.cli:main\n"
PLATFORM_FREE = "-none-any.whl"


@dataclass(frozen=True)
class Wheel:
    """A wheel that requires nothing.

    Attributes:
        name: of the file.
        data: its bytes.
        requires: what it required, as its maker wrote it.
    """

    name: str
    data: bytes
    requires: tuple[str, ...] = ()


def own_wheel() -> Wheel:
    """Return a wheel of the shoal that is imported here, from a checkout or an installed package alike."""
    from shoal import __version__

    metadata = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {__version__}\nRequires-Python: {PYTHON}\n"
    try:
        requires = tuple(distribution(NAME).requires or ())
    except PackageNotFoundError:  # run by its path alone
        requires = ()
    return _packed(dict(_own_files()), metadata, {"entry_points.txt": SCRIPT.encode()}, requires)


def plugin_wheel(place: Path) -> Wheel:
    """Return a plugin's wheel for a cluster.

    Args:
        place: a wheel file, or the folder of a package that pip can build.

    Raises:
        UsageError: it can't be built, or holds compiled code.
    """
    if place.is_dir():
        with TemporaryDirectory(prefix="shoal-") as scratch:
            return plugin_wheel(_built(place, Path(scratch)))
    if not place.name.endswith(PLATFORM_FREE):
        raise UsageError(f"{place} is no wheel of pure Python; put what holds compiled code into the cluster's image")
    try:
        with zipfile.ZipFile(place) as archive:
            files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    except (OSError, zipfile.BadZipFile) as error:
        raise UsageError(f"{place} can't be read as a wheel: {error}") from error
    info = {name: files.pop(name) for name in list(files) if name.partition("/")[0].endswith(".dist-info")}
    inner = {name.partition("/")[2]: data for name, data in info.items()}
    if "METADATA" not in inner:
        raise UsageError(f"{place} is no wheel: it has no METADATA")
    said = message_from_string(inner.pop("METADATA").decode(), policy=compat32)
    requires = tuple(said.get_all("Requires-Dist") or ())
    del said["Requires-Dist"]
    kept = {name: data for name, data in inner.items() if name not in ("RECORD", "WHEEL")}
    return _packed(files, said.as_string(), kept, requires)


def _built(folder: Path, into: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(  # noqa: S603  (the user's own package, built as pip builds it)
        [*command, "--wheel-dir", str(into), str(folder.resolve())], capture_output=True, text=True, check=False
    )
    wheels = list(into.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise UsageError(f"the plugin {folder} can't be built: {_cause(done.stderr)}; build it yourself and name the wheel")
    return wheels[0]


def _cause(said: str) -> str:
    """Return the line of what pip says that tells most: the error itself, not the hint to look above."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|ERROR): (?!Exception)", line)]
    return (errors or lines[-1:] or ["it makes no wheel"])[-1][:300].rstrip(".")


def _own_files() -> Iterator[tuple[str, bytes]]:
    """Yield the files of shoal's packages, and the recipes and presets where an installed package has them."""
    for package in sorted({NAME, *(module.partition(".")[0] for module in (*BUILTINS, *COMMANDS))}):
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            for relative in _below(Path(place)):
                yield f"{package}/{relative.as_posix()}", (Path(place) / relative).read_bytes()
    for recipe in recipes.all():
        yield f"{NAME}/recipes/{recipe.path.name}", recipe.path.read_bytes()
    yield f"{NAME}/presets.yaml", presets_path().read_bytes()


def _below(package: Path) -> Iterator[Path]:
    """Yield the relative paths of a package's files, sorted: no caches, and nothing hidden, such as settings of somebody."""
    for path in sorted(package.rglob("*")):
        relative = path.relative_to(package)
        aside = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
        if not aside and path.is_file():
            yield relative


def _packed(files: Mapping[str, bytes], metadata: str, info: Mapping[str, bytes], requires: tuple[str, ...]) -> Wheel:
    """Return a wheel of files, its content's hash in the local part of its version."""
    said = message_from_string(metadata, policy=compat32)
    digest = hashlib.sha256(metadata.encode())
    for name, data in sorted({**files, **info}.items()):
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    version = said["Version"] + (".h" if "+" in said["Version"] else "+h") + digest.hexdigest()[:HASH]
    said.replace_header("Version", version)
    stem = f"{said['Name'].replace('-', '_').replace('.', '_').lower()}-{version}"
    every = {**files, **{f"{stem}.dist-info/{name}": data for name, data in info.items() if data}}
    every[f"{stem}.dist-info/METADATA"] = said.as_string().encode()
    every[f"{stem}.dist-info/WHEEL"] = WHEEL.encode()
    every[f"{stem}.dist-info/RECORD"] = _record(every, f"{stem}.dist-info/RECORD").encode()
    return Wheel(f"{stem}-py3{PLATFORM_FREE}", _zipped(every), requires)


def _record(files: Mapping[str, bytes], own: str) -> str:
    lines = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}")
    return "\n".join([*lines, f"{own},,"]) + "\n"


def _zipped(files: Mapping[str, bytes]) -> bytes:
    target = BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return target.getvalue()
