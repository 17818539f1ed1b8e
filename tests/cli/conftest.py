"""A small real run to look at, and the command line called in this process."""

import contextlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shoal.cli import main

PIPELINE = """shoal: 1
name: small
steps:
  - use: index.folder
  - use: thumbnail.jpeg
  - use: embed.lite0
  - use: cluster.kmeans
    with: {k: 3}
  - use: label.tags
  - use: visualize.sizes
"""
PICTURES = 9
HOSTILE = "red\x1b[31m [bold]x[red]\n.txt"


@dataclass(frozen=True)
class Answer:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON: nothing else may be there."""
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The one complaint on standard error."""
        said = [line for line in self.err.splitlines() if line.startswith("shoal: ")]
        assert len(said) == 1, self.err
        assert "Traceback" not in self.err
        return said[0].removeprefix("shoal: ")


def call(*arguments: object) -> Answer:
    """Run `shoal` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return Answer(ended.value.code, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Made:
    """A folder with photos, a pipeline file, and a store with runs."""

    folder: Path

    @property
    def photos(self) -> Path:
        """Nine little pictures, and two files that are none."""
        return self.folder / "my photos"

    @property
    def pipeline(self) -> Path:
        """A pipeline file."""
        return self.folder / "small.yaml"

    @property
    def out(self) -> Path:
        """The store."""
        return self.folder / "out"


def pictures(folder: Path, number: int = PICTURES) -> Path:
    """Write noise pictures in three colours."""
    folder.mkdir(parents=True)
    for place in range(number):
        noise = np.random.default_rng(place).integers(0, 120, (48, 64, 3), dtype=np.uint8)
        noise[..., place % 3] += 120
        Image.fromarray(noise).save(folder / f"picture {place}.jpg")
    return folder


def fill(folder: Path) -> Made:
    """Write photos and a pipeline file."""
    made = Made(folder)
    pictures(made.photos)
    (made.photos / HOSTILE).write_text("no image")
    (made.photos / "broken.jpg").write_bytes(b"\xff\xd8 cut off")
    made.pipeline.write_text(PIPELINE)
    return made


@pytest.fixture(scope="package", autouse=True)  # no longer: the tests after these want their own environment
def _quiet_machine() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_MLFLOW", "off")
        patch.setenv("SHOAL_PLUGINS", "")
        patch.delenv("COLUMNS", raising=False)
        yield


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A store with one run that ended well; tests leave it as it is."""
    folder = fill(tmp_path_factory.mktemp("made"))
    answer = call("run", folder.pipeline, folder.photos, "--out", folder.out, "--on", "local")
    assert answer.code == 0, answer.err
    return folder


@pytest.fixture
def fresh(tmp_path: Path) -> Made:
    """Photos and a pipeline file of a test's own, in its working folder."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield fill(tmp_path)  # type: ignore[misc]
    os.chdir(before)
