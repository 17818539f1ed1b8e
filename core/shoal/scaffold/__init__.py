"""Writes a plugin package that installs, is found, and passes its own tests: `shoal new-plugin shoal-hue`."""

import importlib.util
import keyword
import os
import re
import shutil
import sys
import tempfile
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from shoal import __version__
from shoal.errors import UsageError
from shoal.host import Host

_DISTRIBUTION = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)  # packaging.python.org, name format (PEP 508)
_STAGE = re.compile(r"[a-z][a-z0-9_]*")
_LONGEST = 60


def new_plugin(name: str, folder: Path) -> list[Path]:
    """Write a plugin package with one embedder, its tests and a README.

    Args:
        name: the distribution's name, such as `shoal-hue`: the module becomes `shoal_hue`, the stage `embed.hue`.
        folder: where the package's own folder, called `name`, is made; made itself where it is missing.

    Returns:
        The files, sorted.

    Raises:
        UsageError: the name can't be a package's or is taken, or its folder has something in it or can't be written.
    """
    values = _names(name)
    target = folder / name
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise UsageError(f"{target} exists already; name another folder, or remove it first")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as scratch:
            made = Path(scratch) / "made"
            _write(files(__name__) / "template", made, values)
            if target.exists():
                target.rmdir()
            os.rename(made, target)
    except OSError as error:
        raise UsageError(f"{target} can't be written ({error.strerror or error}); name another folder") from error
    return sorted(path for path in target.rglob("*") if path.is_file())


def _names(name: str) -> dict[str, str]:
    """Return what the template's placeholders stand for.

    Raises:
        UsageError: the name is no distribution's name (PEP 508), is no module's, or is taken.
    """
    if not _DISTRIBUTION.fullmatch(name) or len(name) > _LONGEST:
        raise UsageError(
            f"{name!r} can't be a package's name; use at most {_LONGEST} letters, digits and -, such as 'shoal-hue'"
        )
    distribution = re.sub(r"[-_.]+", "-", name).lower()  # PEP 503
    module = distribution.replace("-", "_")
    stage = module.removeprefix("shoal_")
    if not module.isidentifier() or keyword.iskeyword(module) or not _STAGE.fullmatch(stage) or keyword.iskeyword(stage):
        raise UsageError(f"{name!r} would make the module {module!r} with the stage {stage!r}; start both with a letter")
    if module in sys.stdlib_module_names or importlib.util.find_spec(module) is not None:
        raise UsageError(f"a module {module!r} exists already and would be shadowed; choose another name than {name!r}")
    taken = Host().stages.get(("embed", stage))
    if taken is not None:
        raise UsageError(f"{name!r} would make the stage embed.{stage}, which {taken.__module__} has; choose another name")
    return {
        "distribution": distribution,
        "module": module,
        "stage": stage,
        "title": "".join(part.capitalize() for part in stage.split("_")),
        "version": __version__,
    }


def _write(template: Traversable, folder: Path, values: dict[str, str]) -> None:
    """Copy the template tree: `package` becomes the module's folder, placeholders become names, `.tmpl` goes."""
    folder.mkdir()
    for entry in template.iterdir():
        name = values["module"] if entry.name == "package" else entry.name.removesuffix(".tmpl")
        if entry.is_dir():
            _write(entry, folder / name, values)
        elif entry.name.endswith(".tmpl"):
            text = Template(entry.read_text(encoding="utf-8")).substitute(values)
            (folder / name.replace("MODULE", values["module"])).write_text(text, encoding="utf-8")
        elif entry.name == "py.typed":
            with entry.open("rb") as source, (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target)
