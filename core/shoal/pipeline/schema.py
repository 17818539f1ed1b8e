"""The JSON schema of pipeline files (draft 2020-12): editors complete stages and options, and mark mistakes, from it."""

import inspect
import json
import sys
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from shoal.contract import Stage
from shoal.host import Host
from shoal.pipeline.model import FORMAT, MAX_STEPS, NAME_PATTERN, Head, RunSettings

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def build(host: Host) -> dict[str, Any]:
    """Return the schema of the pipeline files that a host's stages make possible."""
    stages = {cls.title(): cls for cls in host.stages.values()}
    head = Head.model_json_schema()["properties"]
    return {
        "$schema": DIALECT,
        "title": "shoal pipeline",
        "description": "Steps that turn a folder of images into clean, named, organised sets.",
        "type": "object",
        "required": ["shoal", "steps"],
        "additionalProperties": False,
        "properties": {
            "shoal": {"const": FORMAT, "description": "Version of the file format."},
            **head,
            "steps": {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_STEPS,
                "description": "The stages in order; the first one finds the images.",
                # Said in such a way that editors which know only older drafts (no prefixItems, no maxContains) stay right.
                "prefixItems": [{"allOf": [{"$ref": "#/$defs/step"}, _kind_is("index")]}],
                "items": {"$ref": "#/$defs/step"},
                "contains": _kind_is("index"),
                "maxContains": 1,
            },
        },
        "$defs": {"step": _step(stages), "run": _object(RunSettings), "stages": _options(stages)},
    }


def text(host: Host) -> str:
    """Return the schema as the text of `configs/pipeline.schema.json`."""
    return json.dumps(build(host), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def main() -> None:
    """Print the schema of the built-in stages."""
    sys.stdout.write(text(Host(allow=())))


def _kind_is(kind: str) -> dict[str, Any]:
    return {"type": "object", "required": ["use"], "properties": {"use": {"type": "string", "pattern": rf"^{kind}\."}}}


def _step(stages: dict[str, type[Stage]]) -> dict[str, Any]:
    name = {"type": "string", "pattern": f"^{NAME_PATTERN}$"}
    return {
        "type": "object",
        "required": ["use"],
        "additionalProperties": False,
        "properties": {
            "use": {
                "description": "The stage, as `kind.name`; `shoal stages` lists all.",
                "oneOf": [{"const": title, "description": _first_line(cls)} for title, cls in stages.items()],
            },
            "as": {**name, "description": "Name of the step, where another step has its kind too. Default: the kind."},
            "from": {
                "description": "Steps whose columns are meant, where several earlier ones make a column of the same name.",
                "anyOf": [name, {"type": "array", "items": name}],
            },
            "only": {
                "description": "Steps whose images this one is done for, such as samples; `all`, or nothing: every image.",
                "anyOf": [name, {"type": "array", "items": name}],
            },
            "with": {"description": "Options of the stage.", "type": ["object", "null"]},
            "run": {"description": "How the step runs; never changes its rows.", "$ref": "#/$defs/run"},
        },
        "allOf": [_when(title, cls) for title, cls in stages.items()],
    }


def _when(title: str, cls: type[Stage]) -> dict[str, Any]:
    options = {"properties": {"with": {"anyOf": [{"$ref": f"#/$defs/stages/{title}"}, {"type": "null"}]}}}
    needed = {"required": ["with"]} if any(field.is_required() for field in cls.model_fields.values()) else {}
    return {"if": {"properties": {"use": {"const": title}}}, "then": {**options, **needed}}


def _options(stages: dict[str, type[Stage]]) -> dict[str, Any]:
    return {title: _object(cls, f"#/$defs/stages/{title}/$defs/{{model}}") for title, cls in stages.items()}


def _object(model: type[Stage] | type[RunSettings], references: str = "#/$defs/{model}") -> dict[str, Any]:
    made = model.model_json_schema(ref_template=references)
    return {**made, "description": _first_line(model)}


def flat(model: type[BaseModel]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each option of a model with its JSON schema; one that is a mapping is followed by its own as `name.option`."""
    schema = model.model_json_schema()
    yield from _flat(schema, schema.get("$defs", {}), "")


def _flat(schema: dict[str, Any], definitions: dict[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in schema.get("properties", {}).items():
        inner = definitions.get(field.get("$ref", "").rpartition("/")[2], {})
        if "properties" not in inner:
            yield prefix + name, field
            continue
        default: dict[str, Any] = {"default": {}} if "default" in field else {}  # what its options say stands with these
        yield prefix + name, {"type": "object", **default, "description": field.get("description", "")}
        yield from _flat(inner, definitions, f"{prefix}{name}.")


def _first_line(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or cls.__name__).partition("\n")[0]


if __name__ == "__main__":
    main()
