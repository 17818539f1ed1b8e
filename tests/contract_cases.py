"""Options and sources for the built-ins that can't be checked on their defaults: weights and manifests made on the spot."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Made = tuple[dict[str, Any], dict[str, Any]]
"""Options of the stage, and what else `check_stage` is given."""


def manifest(folder: Path) -> Made:
    """A CSV manifest of two images."""
    from PIL import Image

    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (8, 8), "red").save(folder / name)
    (folder / "list.csv").write_text("path\n" + "".join(f"{folder / name}\n" for name in ("a.jpg", "b.jpg")))
    return {}, {"source": folder / "list.csv"}


CASES: dict[str, Callable[[Path], Made]] = {"index.table": manifest}
