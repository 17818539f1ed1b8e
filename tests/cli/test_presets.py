"""Presets by size resolve against the recipes, and the right one is recommended."""

from pathlib import Path

import pytest

from shoal.errors import UsageError
from shoal.host import Host
from shoal.pipeline import load
from shoal.pipeline.plan import plan
from shoal.presets import Preset, fitting, presets, with_preset

from ..models.tiny_transformers import make_tiny
from .conftest import call

ARCHITECTURES = {"small": "dinov2", "medium": "dinov2", "large": "convnext", "huge": "convnext"}


@pytest.fixture(scope="module")
def host() -> Host:
    return Host(allow=())


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    for name in set(ARCHITECTURES.values()):
        make_tiny(name, folder / name)
    return {preset: folder / name for preset, name in ARCHITECTURES.items()}


@pytest.mark.parametrize(
    ("images", "name"),
    [(0, "small"), (999, "small"), (1000, "medium"), (9999, "medium"), (10_000, "large"), (99_999, "large"),
     (100_000, "huge"), (10**8, "huge")],
)  # fmt: skip
def test_the_number_of_images_decides(images: int, name: str) -> None:
    assert fitting(images).name == name


@pytest.mark.parametrize("recipe", ["quickstart", "semantic-cluster"])
@pytest.mark.parametrize("preset", presets(), ids=lambda preset: preset.name)
def test_every_preset_resolves_against_the_recipes(recipe: str, preset: Preset, host: Host, models: dict[str, Path]) -> None:
    asked = load(recipe, host, preset.overrides)
    assert asked.step("embed").stage.title() == "embed.transformers"
    stand_in = f"embed.model={models[preset.name]}"  # of the same architecture: planning reads its config
    planned = plan(load(recipe, host, with_preset(preset.name, recipe, host, [stand_in])))
    assert planned.step("cluster").sources["embedding"].step == "reduce"
    assert planned.step("visualize").sources["embedding"].step == "position"


@pytest.mark.parametrize(
    ("name", "batch", "model", "clusterer"),
    [
        ("small", 32, "facebook/dinov2-base", "cluster.dbscan"),
        ("medium", 64, "facebook/dinov2-large", "cluster.hdbscan"),
        ("large", 128, "facebook/convnext-large-224-22k", "cluster.hdbscan"),
        ("huge", 256, "facebook/convnext-base-224-22k", "cluster.hdbscan"),
    ],
)
def test_presets_say_what_they_should(host: Host, name: str, batch: int, model: str, clusterer: str) -> None:
    made = load("quickstart", host, with_preset(name, "quickstart", host, []))
    assert made.step("embed").settings.batch == batch
    assert made.step("embed").stage.model_dump()["model"] == model
    assert made.step("cluster").stage.title() == clusterer


def test_what_the_user_sets_wins(host: Host) -> None:
    made = load("quickstart", host, with_preset("huge", "quickstart", host, ["embed=lite0", "reduce.pca=32"]))
    assert made.step("embed").stage.title() == "embed.lite0"
    assert made.step("embed").settings.batch == 256
    assert made.step("reduce").stage.model_dump()["pca"] == 32
    assert made.step("position").stage.title() == "reduce.pca"


def test_no_preset_is_only_the_user(host: Host) -> None:
    assert with_preset(None, "quickstart", host, ["a.b=1"]) == ["a.b=1"]


def test_an_unknown_preset_and_one_that_does_not_fit(host: Host, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no preset 'hug'; did you mean 'huge'\?"):
        with_preset("hug", "quickstart", host, [])
    file = tmp_path / "plain.yaml"
    file.write_text("shoal: 1\nsteps:\n  - use: index.folder\n  - use: embed.lite0\n")
    with pytest.raises(UsageError, match=r"preset 'small' does not fit .*plain.yaml \(.*there is no step 'cluster'"):
        with_preset("small", file, host, [])


def test_recipes_and_presets_are_listed() -> None:
    answer = call("recipes", "--json").json
    assert "quickstart" in [recipe["name"] for recipe in answer["recipes"]]
    assert [preset["name"] for preset in answer["presets"]] == ["small", "medium", "large", "huge"]
    listed = call("recipes").out
    assert "below 1,000" in listed
    assert "any number" in listed
