"""The runner gives any embedder prepared pixels, and keeps its rows apart from those of others."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shoal.images import decode
from shoal.vectors import to_numpy
from tests.runner.stages import Colours

from .conftest import Go, computed

pytestmark = pytest.mark.processes


def test_a_third_partys_embedder_ignores_polarity(go: Go) -> None:
    """The mean of a mean colour and its negative's is the middle, whatever the image."""
    plain = go()
    assert np.ptp(to_numpy(plain.table("embed")["embedding"])) > 20
    alike = go(overrides=("embed.prepare.polarity=true",))
    assert computed(alike)["embed"] == 24
    np.testing.assert_allclose(to_numpy(alike.table("embed")["embedding"]), 127.5)


def test_rows_are_kept_by_preparation(go: Go) -> None:
    overrides = ("embed.prepare.grayscale=true", "embed.prepare.trim.top=0.25")
    assert [computed(go(overrides=which))["embed"] for which in ((), overrides, (), overrides)] == [24, 24, 0, 0]
    assert computed(go(overrides=(*overrides, "embed.prepare.trim.left=0.1")))["embed"] == 24


def test_what_is_trimmed_is_not_seen(go: Go, photos: Path) -> None:
    for path in photos.rglob("*.jpg"):
        with Image.open(path) as image:
            marked = image.copy()
        marked.paste("white", (0, 0, marked.width, marked.height // 3))
        marked.save(path.with_suffix(".png"))
        path.unlink()
    run = go(overrides=("embed.prepare.trim.top=0.34", "index.formats=[png]"))
    stage = Colours(prepare={"trim": {"top": 0.34}})
    paths = {row["id"]: row["paths"][0] for row in run.images.to_pylist()}
    rows = run.table("embed")
    for image, vector in zip(rows["id"].to_pylist(), to_numpy(rows["embedding"]), strict=True):
        pixels = decode(Path(paths[image]).read_bytes(), stage.pixels)  # type: ignore[arg-type]
        np.testing.assert_array_equal(stage.embed([pixels])[0], vector)
        assert not (pixels == 255).all(axis=(1, 2)).any()


def test_an_image_that_can_not_be_answered_costs_only_itself(go: Go) -> None:
    one = go().images["id"][3].as_py()
    overrides = ("embed.prepare.polarity=true", f"embed.stop_at={one}", "max_failed=0.5")
    run = go(overrides=overrides)
    assert run.table("embed").num_rows == 23
    assert [row["reason"] for row in run.rejected.to_pylist()] == ["ValueError: this picture upsets me"]
