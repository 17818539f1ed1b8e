"""Pieces of Markdown: tables, and options as rows of one."""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from shoal.pipeline.schema import flat


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(value: object) -> str:
    """Return a value as YAML would say it, in code marks."""
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:.6g}`"
    if isinstance(value, list | tuple):
        return f"`[{', '.join(str(item) for item in value)}]`"
    return f"`{value}`" if str(value) else "`''`"


def doc(thing: object) -> str:
    """Return a docstring without its indentation."""
    return inspect.cleandoc(getattr(thing, "__doc__", None) or "")


def options(model: type[BaseModel]) -> str:
    """Return the fields of a model as a table: option, values, default, meaning; a mapping's own fields follow it."""
    definitions = model.model_json_schema().get("$defs", {})
    rows = [
        (
            f"`{name}`",
            values(field, definitions),
            code(field["default"]) if "default" in field else "required",
            field.get("description", ""),
        )
        for name, field in flat(model)
    ]
    return table(("option", "values", "default", "meaning"), rows) if rows else "No options."


_BOUNDS = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))
_LENGTHS = (("minLength", "at least", "characters"), ("minItems", "at least", "items"), ("maxItems", "at most", "items"))


def values(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return which values a field of a JSON schema takes, in words."""
    if "$ref" in field:
        field = {**definitions.get(field["$ref"].rpartition("/")[2], {}), **field}
    if "const" in field:
        return code(field["const"])
    if "enum" in field:
        return ", ".join(code(value) for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(values(choice, definitions) for choice in field["anyOf"])
    words = [_type(field, definitions)]
    words += [f"{sign} {field[key]:.12g}" for key, sign in _BOUNDS if key in field]
    fixed = "minItems" in field and field["minItems"] == field.get("maxItems")
    words += [f"{field['minItems']} items"] if fixed else []
    words += [f"{word} {field[key]} {unit}" for key, word, unit in _LENGTHS if field.get(key, 0) > 1 and not fixed]
    return ", ".join(words)


def _type(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    kind = str(field.get("type", "any"))
    if kind == "array":
        inner = field.get("items") or (field.get("prefixItems") or [{}])[0]
        return f"list of {values(inner, definitions)}"
    if kind == "object" and "properties" in field:
        return "mapping of " + ", ".join(f"`{name}`" for name in field["properties"])
    names = {"string": "text", "boolean": "true or false", "number": "number", "object": "mapping", "null": "null"}
    return names.get(kind, kind)


def column_type(kind: pa.DataType) -> str:
    """Return an Arrow type in words: `vector(1280)`, `text`, `int32`."""
    if pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type):
        return f"vector({kind.list_size})"
    if pa.types.is_list(kind):
        inner = column_type(kind.value_type)
        return "vector" if pa.types.is_floating(kind.value_type) else f"list of {inner}"
    if pa.types.is_struct(kind):
        return "struct of " + ", ".join(f"{field.name} {column_type(field.type)}" for field in kind)
    names = {"string": "text", "binary": "bytes", "bool": "true or false", "float": "float32", "double": "float64"}
    return names.get(str(kind), str(kind))


def columns(schema: pa.Schema) -> str:
    """Return a schema as one line."""
    return ", ".join(f"`{field.name}` ({column_type(field.type)})" for field in schema)
