import os
from pathlib import Path

import pytest

from shoal.errors import PipelineError
from shoal.host import Host
from shoal.pipeline import load, recipes

BUILTIN = Host(allow=())
NAMES = sorted(path.stem for path in recipes.folder().glob("*.yaml"))


def test_recipes_are_found_with_their_descriptions():
    found = {recipe.name: recipe for recipe in recipes.all()}
    assert "quickstart" in found
    assert all(recipe.description and "\n" not in recipe.description for recipe in found.values())
    assert recipes.find("quickstart") == found["quickstart"].path


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(PipelineError, match="there is no recipe 'quikstart'; did you mean 'quickstart'"):
        recipes.find("quikstart")
    with pytest.raises(
        PipelineError, match=r"there is no recipe 'zzzz'; recipes: .*quickstart.*; a file is named by its path"
    ):
        recipes.find("zzzz")


def test_a_file_of_that_name_is_pointed_out(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("shoal: 1\n")
    with pytest.raises(PipelineError, match=r"no recipe 'mine', but a file of that name: write \./mine\.yaml"):
        recipes.find("mine")


def test_a_file_never_shadows_a_recipe(tmp_path: Path, monkeypatch, host):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart.yaml").write_text("shoal: 1\nsteps:\n  - use: index.folder\n")
    assert recipes.locate("quickstart") == recipes.find("quickstart")
    assert load("quickstart.yaml", host).names == ("index",)
    assert load(f".{os.sep}quickstart.yaml", host).names == ("index",)


def test_an_installed_package_looks_beside_itself(tmp_path: Path, monkeypatch):
    (tmp_path / "shoal" / "pipeline").mkdir(parents=True)
    (tmp_path / "shoal" / "recipes").mkdir()
    (tmp_path / "shoal" / "recipes" / "only.yaml").write_text("shoal: 1\ndescription: one\n")
    (tmp_path / "shoal" / "recipes" / "broken.yaml").write_bytes(b"\xff: [")
    monkeypatch.setattr(recipes, "__file__", str(tmp_path / "shoal" / "pipeline" / "recipes.py"))
    assert [(recipe.name, recipe.description) for recipe in recipes.all()] == [("broken", ""), ("only", "one")]


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_loads_and_is_named_after_its_file(name):
    assert BUILTIN.broken == []
    made = load(name, BUILTIN)
    assert made.name == name
    assert made.steps[0].stage.kind == "index"
