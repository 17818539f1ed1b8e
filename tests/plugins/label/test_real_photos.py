"""On real photographs of seven kinds the names fit: what a newcomer reads in the first report."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shoal.contract import Batch, Context
from shoal.schema import NOTHING
from shoal.vectors import to_numpy
from shoal_plugins.embed.lite0 import Lite0

from .fixtures import Floats, name

FITTING = {
    "animal": {"animals", "mammals"},
    "fishes": {"fish"},
    "monuments": {"monuments", "buildings"},
    "music": {"concerts", "musical instruments"},
    "planet": {"round objects", "balls"},
    "renewable": {"power stations", "towers"},
    "tools": {"tools", "hand tools"},
}


@pytest.fixture(scope="module")
def probabilities(photo_set: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Floats]]:
    """Return the ImageNet probabilities of every photo, by class folder."""
    stage = Lite0()
    stage.setup(Context(threads=2, cache=tmp_path_factory.getbasetemp() / "cache"))
    found: dict[str, list[Floats]] = {}
    for folder in sorted(path for path in photo_set.iterdir() if path.is_dir()):
        images = [pixels(path) for path in sorted(folder.glob("*.webp"))]
        rows = NOTHING.empty_table()
        found[folder.name] = list(to_numpy(stage.map(Batch(rows, images))["probabilities"]))
    return found


def pixels(path: Path) -> "np.typing.NDArray[np.uint8]":
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_true_class_gets_a_fitting_name(probabilities: dict[str, list[Floats]]) -> None:
    images = [row for rows in probabilities.values() for row in rows]
    clusters = [number for number, rows in enumerate(probabilities.values()) for _ in rows]
    given = {folder: row["label"] for folder, row in zip(probabilities, name(images, clusters), strict=True)}
    assert {folder: label for folder, label in given.items() if label not in FITTING[folder]} == {}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_set_as_one_cluster_and_halves_of_a_class_have_names(probabilities: dict[str, list[Floats]]) -> None:
    fish = probabilities["fishes"]
    halves = name(fish, [i % 2 for i in range(len(fish))])
    assert "fish" in {row["label"] for row in halves}
    assert len({row["label"] for row in halves}) == 2
    everything = [row for rows in probabilities.values() for row in rows]
    (only,) = name(everything, [0] * len(everything))
    assert only["label"]
