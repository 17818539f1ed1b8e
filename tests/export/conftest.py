from pathlib import Path

import pytest
from PIL import Image

import shoal
from shoal.host import Host
from shoal.pipeline import parse

PIPELINE = """\
shoal: 1
name: colours
steps:
  - use: index.plain
  - use: embed.mean
  - use: cluster.brightest
  - use: sample.first
  - use: label.formula
  - use: organize.flat
  - use: visualize.nothing
"""
COLOURS = {"=red": (250, 0, 0), "red2": (240, 0, 0), "red3": (230, 0, 0), "blue": (0, 0, 250), "grey": (99, 99, 99)}


@pytest.fixture(scope="session")
def host() -> Host:
    return Host(builtins=(f"{__package__}.stages",), allow=())


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make six pictures of which two are the same, one broken file and one that is no picture."""
    folder = tmp_path_factory.mktemp("images")
    for name, colour in COLOURS.items():
        Image.new("RGB", (16, 16), colour).save(folder / f"{name}.png")
    (folder / "red, again.png").write_bytes((folder / "red2.png").read_bytes())
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.png").write_bytes(b"not a picture")
    return folder


@pytest.fixture(scope="session")
def run(images: Path, host: Host, tmp_path_factory: pytest.TempPathFactory) -> shoal.Run:
    """Run a small pipeline for real, in this process."""
    made = parse(PIPELINE, host)
    return shoal.run(made, images, tmp_path_factory.mktemp("out"), host=host, options=shoal.RunOptions(where="local"))
