from pathlib import Path

import jsonschema
import pytest
import yaml

from shoal.errors import PipelineError
from shoal.host import Host
from shoal.pipeline import parse, recipes, schema

ROOT = Path(__file__).parents[2]
BUILTIN = Host(allow=())


@pytest.fixture(scope="module")
def validator(host):
    made = schema.build(host)
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


def test_a_good_file_is_valid(good, host, validator):
    assert list(validator.iter_errors(yaml.safe_load(good.replace("1e-3", "0.001")))) == []
    assert list(validator.iter_errors(yaml.safe_load(parse(good, host).to_yaml()))) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("shoal: 1", "shoal: 2"),
        ("shoal: 1\n", ""),
        ("name: good", "nmae: good"),
        ("max_failed: 0.25", "max_failed: 2"),
        ("embed.tiny", "embed.tny"),
        ("use: embed.tiny", "as: tiny"),
        ("width: 8", "width: 80"),
        ("width: 8", "wdith: 8"),
        ("width: 8", "input: {size: [1, 2, 3]}"),
        ("from: embed", "form: embed"),
        ("from: embed", "from: {a: 1}"),
        ("batch: 32", "batch: 0"),
        ("method: eom", "method: eon"),
        ("embed.tiny\n    with:\n      width: 8", "embed.named"),
        ("index.folder", "embed.tiny"),
        ("recursive: true", "recursve: true"),
        ("visualize.chart", "index.folder"),
    ],
)
def test_a_bad_file_is_invalid_for_editors_as_for_shoal(old, new, good, host, validator):
    bad = good.replace(old, new, 1).replace("1e-3", "0.001")
    assert bad != good.replace("1e-3", "0.001")
    assert list(validator.iter_errors(yaml.safe_load(bad)))
    with pytest.raises(PipelineError):
        parse(bad, host)


def test_editors_see_what_stages_and_options_are_for(validator):
    made = validator.schema
    uses = {use["const"]: use["description"] for use in made["$defs"]["step"]["properties"]["use"]["oneOf"]}
    assert uses["embed.tiny"] == "Embeds nothing much."
    options = made["$defs"]["stages"]["embed.tiny"]
    assert options["properties"]["width"]["description"] == "Components."
    assert options["properties"]["width"]["default"] == 4


def test_the_published_schema_is_current():
    assert BUILTIN.broken == []
    published = (ROOT / "configs" / "pipeline.schema.json").read_text(encoding="utf-8")
    assert published == schema.text(BUILTIN), "run: python -m shoal.pipeline.schema > configs/pipeline.schema.json"


@pytest.mark.parametrize("recipe", recipes.all(), ids=lambda recipe: recipe.name)
def test_every_recipe_is_valid(recipe):
    assert BUILTIN.broken == []
    jsonschema.Draft202012Validator(schema.build(BUILTIN)).validate(yaml.safe_load(recipe.path.read_text(encoding="utf-8")))
