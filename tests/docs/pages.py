"""Blocks of Markdown pages, and a machine of their own to run them on."""

import os
import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
LANGUAGES = {"sh", "python", "yaml", "toml", "text", "mermaid"}
_FENCE = re.compile(
    r"^(?:<!-- docs: (?P<said>[^\n]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
COLOURS = {"red": (200, 30, 30), "green": (40, 170, 60), "blue": (40, 60, 200)}
ALIKE = 12


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, its line, and what the comment before it says (`not run`, `file NAME`)."""

    language: str
    text: str
    line: int
    said: str


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found["language"], found["text"], text.count("\n", 0, found.start()) + 1, found["said"] or "")
        for found in _FENCE.finditer(text)
    ]


def photos(folder: Path) -> None:
    """Write three dozen little pictures in three colours."""
    folder.mkdir()
    for colour, rgb in COLOURS.items():
        for number in range(ALIKE):
            rng = np.random.default_rng([number, *colour.encode()])
            pixels = np.full((72, 96, 3), rgb, dtype=np.float64) + rng.normal(0, 6, (72, 96, 3))
            top, left = rng.integers(0, 40, size=2)
            pixels[top : top + 24, left : left + 24] += 50
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{colour}_{number}.jpg", quality=90)


class Machine:
    """A virtual environment that sees what the tests see, where `pip install` harms nobody."""

    def __init__(self, folder: Path) -> None:
        """Make the environment, with `shoal`, `pip` and `pytest` on its path."""
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True, timeout=60)
        self.bin = folder / "venv" / "bin"
        (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
        (site / "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        for name, code in {
            "shoal": "from shoal.cli import main; main()",
            "pip": "from pip._internal.cli.main import main; import sys; sys.exit(main())",
            "pytest": "import pytest, sys; sys.exit(pytest.main())",
        }.items():
            script = self.bin / name
            script.write_text(f"#!{self.bin / 'python'}\nimport sys; sys.argv[0] = {name!r}\n{code}\n")
            script.chmod(0o755)
        (folder / "home").mkdir()

    def run(self, command: list[str], cwd: Path) -> "subprocess.CompletedProcess[str]":
        """Run a command on this machine."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("SHOAL_", "RAY_", "PYTEST_", "PYTHONPATH"))
        }
        own = {
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder / "home"),
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as --no-build-isolation, whatever it says
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "COLUMNS": "160",
        }
        return subprocess.run(
            command, cwd=cwd, env={**kept, **own}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip
