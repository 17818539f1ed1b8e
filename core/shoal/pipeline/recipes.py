"""Recipes: pipeline files that come with shoal, found by name in the source tree and in an installed package."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from shoal.errors import PipelineError
from shoal.pipeline.nodes import read

ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True)
class Recipe:
    """A pipeline file that comes with shoal: its name (the file's), its description and where it lies."""

    name: str
    description: str
    path: Path


def folder() -> Path:
    """Return the folder of the recipes: `shoal/recipes` of an installed package, or `configs/recipes` of a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parents[1] / "configs" / "recipes"


def all() -> tuple[Recipe, ...]:
    """Return every recipe, by name."""
    return tuple(Recipe(name, _description(path), path) for name, path in _paths().items())


def find(name: str) -> Path:
    """Return where a recipe lies; no file is read.

    Raises:
        PipelineError: there is none; the message names the nearest, and a file of that name where one lies here.
    """
    found = _paths()
    if name in found:
        return found[name]
    for ending in ("", *ENDINGS):
        if Path(f"{name}{ending}").is_file():
            raise PipelineError(f"there is no recipe {name!r}, but a file of that name: write ./{name}{ending}")
    near = get_close_matches(name, found, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"recipes: {', '.join(found) or 'none'}; a file is named by its path"
    raise PipelineError(f"there is no recipe {name!r}; {hint}")


def locate(source: str | Path) -> Path:
    """Return the file that a user means by a path, or by the name of a recipe.

    Raises:
        PipelineError: there is no such file or recipe.
    """
    if isinstance(source, str) and "/" not in source and "\\" not in source and not source.endswith(ENDINGS):
        return find(source)
    path = Path(source)
    try:
        if path.is_file():
            return path
        near = get_close_matches(path.name, [p.name for p in path.parent.iterdir() if p.suffix in ENDINGS], n=1)
    except (OSError, ValueError):  # a name with a NUL, or a folder that can't be listed
        near = []
    if near:
        raise PipelineError(f"there is no pipeline file {str(path)!r}; did you mean {str(path.parent / near[0])!r}?")
    raise PipelineError(f"there is no pipeline file {str(path)!r}; recipes go by name: {', '.join(_paths())}")


def _paths() -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder().glob("*.yaml"))}


def _description(path: Path) -> str:
    try:
        root, _ = read(path.read_text(encoding="utf-8"), path.name)
    except (PipelineError, OSError, ValueError):
        return ""
    text = root.inner(("description",))[0].value if root else ""
    return text if isinstance(text, str) else ""
