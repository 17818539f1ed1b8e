"""What a run's record says of the machine's software."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import shoal

VERSIONS = (
    "pyarrow",
    "numpy",
    "pillow",
    "ray",
    "onnxruntime",
    "scikit-learn",
    "umap-learn",
    "hdbscan",
    "torch",
    "transformers",
    "timm",
)


def commit() -> str:
    """Return the git commit of the code; empty where it does not run from a checkout."""
    place = Path(__file__)
    if _git("ls-files", place.name) != place.name:  # an installed shoal may lie in somebody else's repository
        return ""
    return _git("rev-parse", "--short=12", "HEAD")


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _own() -> str:
    """Return shoal's version; that of a wheel packed for a cluster tells its content, too."""
    try:
        known = importlib.metadata.version("shoal")
    except importlib.metadata.PackageNotFoundError:
        return shoal.__version__
    return known if known.startswith(f"{shoal.__version__}+") else shoal.__version__


def versions() -> dict[str, str]:
    """Return the versions of shoal, Python and the libraries that its answers depend on."""
    found = {"shoal": _own(), "python": platform.python_version()}
    for name in VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
