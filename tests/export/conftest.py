from pathlib import Path

import pytest
from PIL import Image

import shoal
from shoal.host import Host
from shoal.pipeline import parse
from tests.hostile import TEXTS

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
SPEAKING = """\
shoal: 1
name: speaking
steps:
  - use: index.plain
  - use: embed.mean
  - use: cluster.brightest
  - use: sample.first
  - use: sample.lost
    as: noise
  - use: caption.reads
    only: [sample, noise]
  - use: distil.halves
  - use: label.told
  - use: rescue.guess
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


def colour(number: int) -> tuple[int, int, int]:
    """Return a colour whose darkest component, taken modulo 100, is a number: red, blue or grey (noise) in turn."""
    return ((250, number, number), (number, number, 250), (100 + number,) * 3)[number % 3]


@pytest.fixture(scope="session")
def hostile_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a picture for each hostile text, called after it as far as a file can be."""
    folder = tmp_path_factory.mktemp("hostile")
    for number, text in enumerate(TEXTS):
        name = text.replace("/", "\u2044").replace("\0", "")[:20]
        Image.new("RGB", (16, 16), colour(number)).save(folder / f"{name}{number}.png")
    return folder


@pytest.fixture(scope="session")
def speaking(hostile_images: Path, host: Host, tmp_path_factory: pytest.TempPathFactory) -> shoal.Run:
    """Run a pipeline whose captions, keywords, labels and file names are hostile, every image captioned."""
    made = parse(SPEAKING.replace("    only: [sample, noise]\n", ""), host)
    out = tmp_path_factory.mktemp("spoken")
    return shoal.run(made, hostile_images, out, host=host, options=shoal.RunOptions(where="local"))
