"""A small run of little colours whose clusters are known, and a store of a test's own."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

import shoal
from shoal.decisions import Answer, Change, Decisions, Surface
from shoal.host import Host
from shoal.pipeline import parse
from shoal.reviewing import make_version
from shoal.reviewing.carry import Carry, carry
from tests.decisions.answers import answer, keep, split

PIPELINE = """\
shoal: 1
name: colours
steps:
  - use: index.plain
  - use: embed.mean
  - use: cluster.brightest
  - use: label.colour
  - use: rescue.first
  - use: visualize.counts
"""
RED, BLUE = 0, 2
EACH, NOISE = 6, 2


def paint(folder: Path, name: str, rgb: tuple[int, int, int]) -> None:
    Image.new("RGB", (16, 16), rgb).save(folder / f"{name}.png")


def colours(folder: Path) -> Path:
    """Paint six reds, of which the last three tend to yellow, six blues and two greys."""
    folder.mkdir()
    for number in range(EACH):
        paint(folder, f"red{number}", (250 - number, 150 * (number >= EACH // 2), number))
        paint(folder, f"blue{number}", (0, number, 240 + number))
    for number in range(NOISE):
        paint(folder, f"grey{number}", (90 + number,) * 3)
    return folder


@pytest.fixture(scope="session")
def host() -> Host:
    return Host(builtins=("tests.reviewing.stages",), allow=())


def make(images: Path, out: Path, host: Host, pipeline: str = PIPELINE) -> shoal.Run:
    return shoal.run(parse(pipeline, host), images, out, host=host, options=shoal.RunOptions(where="local"))


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory, host: Host) -> Path:
    folder = tmp_path_factory.mktemp("reviewing")
    make(colours(folder / "colours"), folder / "out", host)
    return folder


@pytest.fixture
def run(_made: Path, host: Host, tmp_path: Path) -> shoal.Run:
    """A run of a test's own."""
    return shoal.open(shutil.copytree(_made / "out", tmp_path / "out"), host=host)


def image(run: shoal.Run, name: str) -> str:
    """Return the id of a picture."""
    images = run.images
    (found,) = [row["id"] for row in images.select(["id", "path"]).to_pylist() if Path(row["path"]).stem == name]
    return str(found)


def members(run: shoal.Run) -> dict[int, list[str]]:
    """Return the names of the pictures in each cluster."""
    found: dict[int, list[str]] = {}
    for row in run.joined(["path", "cluster"]).to_pylist():
        found.setdefault(row["cluster"], []).append(Path(row["path"]).stem)
    return {cluster: sorted(names) for cluster, names in sorted(found.items())}


def say(run: shoal.Run, task: str, *changes: Change, who: str = "ann", at: int = 1, key: str = "", base: str = "") -> Answer:
    """Record an answer about a run, to what it shows now where no base is given."""
    made = answer(task, *changes, who=who, at=at, key=key, run=run.id, base=base or run.look().base)
    Decisions.of(run.store).record([made])
    return made


WARM = 3
"""Number of the cluster that five of the six reds were split off into, in the earlier run."""


@pytest.fixture
def newer(run, host, tmp_path) -> shoal.Run:
    """A run over the same pictures as an earlier one, which people reviewed; it is open for review itself."""
    warm = [image(run, f"red{number}") for number in range(1, 6)]
    say(run, "cluster:0", split(RED, *warm, label="warm"), keep(image(run, "red0")))
    make_version(run)
    found = make(colours(tmp_path / "again"), run.folder.local.parents[1], host)
    Decisions.of(found.store).add_surface(Surface(key="s", run=found.id, kind="clusters", place="http://x", remote="1"))
    return found


def carried(run: shoal.Run, earlier: shoal.Run) -> Carry:
    made = carry(run, earlier)
    assert members(run.look())[WARM] == [f"red{number}" for number in range(1, 6)]
    return made
