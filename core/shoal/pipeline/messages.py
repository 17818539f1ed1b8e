"""What is wrong with a value, in words that people use: the place, the option, what it must be, the nearest spelling."""

import types
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from re import findall
from typing import Any, Literal, TypeGuard, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shoal.pipeline.nodes import Node

Model = TypeVar("Model", bound=BaseModel)

_TYPES = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text (in quotes if it looks like something else)",
    "path_type": "a path",
    "none_required": "null",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping (`key: value`)",
    "model_type": "a mapping (`key: value`)",
    "model_attributes_type": "a mapping (`key: value`)",
    "dataclass_type": "a mapping (`key: value`)",
}
_BOUNDS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "string_too_short": "at least {min_length} characters long",
    "string_too_long": "at most {max_length} characters long",
    "string_pattern_mismatch": "text that matches {pattern}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
}


def nearest(word: str, known: Iterable[str], called: str = "steps") -> str:
    """Return `did you mean X?`, or the list of what there is."""
    choices = list(known)
    near = get_close_matches(word, choices, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"{called}: {', '.join(choices)}" if choices else f"there are no {called}"


def show(value: Any) -> str:
    """Return a value as a pipeline file would say it, at most 60 characters of it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def validate(model: type[Model], options: Node, called: Callable[[str], str]) -> tuple[Model | None, list[str]]:
    """Return the options as the model, or None, and what is wrong with them.

    Args:
        model: options as fields.
        options: a mapping.
        called: how a message names an option, by its dotted path.
    """
    misread = _misread_booleans(model, options, called)
    problems = list(misread.values())
    try:
        made = model.model_validate(options.plain())
    except ValidationError as error:
        return None, problems + _explain(error, model, options, called, set(misread))
    except Exception as error:  # a plugin's own validator may raise anything
        return None, [*problems, f"{options.where}: {called('')}: {type(error).__name__}: {error}"]
    return (None if problems else made), problems


def _misread_booleans(
    model: type[BaseModel], options: Node, called: Callable[[str], str], prefix: str = ""
) -> dict[str, str]:
    """Refuse `components: true`, which would quietly become 1, in options of options too; by name of the outermost."""
    given = options.value if isinstance(options.value, dict) else {}
    found = {}
    for name, node in given.items():
        annotation = model.model_fields[name].annotation if name in model.model_fields else None
        if isinstance(node.value, bool) and _number(annotation):
            found[name] = f"{node.where}: {called(prefix + name)} must be a number, not {show(node.value)}"
        elif annotation is not None and _is_model(annotation):
            inner = _misread_booleans(annotation, node, called, f"{prefix}{name}.")
            found |= {name: "; ".join(inner.values())} if inner else {}
    return found


def _number(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not type(None) and get_origin(part) is not Literal]
        return bool(parts) and all(_number(part) for part in parts)
    return annotation in (int, float)


def _explain(
    error: ValidationError, model: type[BaseModel], options: Node, called: Callable[[str], str], told: set[str]
) -> list[str]:
    groups: dict[tuple[str | int, ...], list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        if detail["loc"][:1] and detail["loc"][0] in told:
            continue
        _, path = options.inner(detail["loc"])
        if detail["type"] == "missing":
            path = (*path, detail["loc"][-1])
        groups.setdefault(path, []).append(detail)
    found = []
    for path, details in groups.items():
        node, _ = options.inner(path)
        name = ".".join(str(part) if str(part).isprintable() else repr(part) for part in path)
        found.append(f"{node.where}: {_sentence(details, model, path, called(name))}")
    return found


def _sentence(details: list[ErrorDetails], model: type[BaseModel], path: tuple[str | int, ...], name: str) -> str:
    first = details[0]
    if first["type"] == "missing":
        return f"{name} is missing; it has no default"
    if first["type"] == "extra_forbidden":
        known = _fields(model, path[:-1])
        return f"{name} does not exist; {nearest(str(path[-1]), known, 'options')}" if known else f"{name} does not exist"
    if first["type"] in ("value_error", "assertion_error"):
        return f"{name}: {first.get('ctx', {}).get('error', first['msg'])}"
    demands = list(dict.fromkeys(_demand(detail) for detail in details))
    hints = [hint for detail in details if (hint := _choice(detail))]
    return f"{name} must be {' or '.join(demands)}, not {show(first['input'])}{hints[0] if hints else ''}"


def _fields(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """Return the options of the model at a path of options; none where there is no model."""
    inner: Any = model
    for part in path:
        inner = inner.model_fields[part].annotation if part in inner.model_fields else None
        if not _is_model(inner):
            return []
    return [*inner.model_fields]


def _is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _demand(detail: ErrorDetails) -> str:
    kind, ctx = detail["type"], detail.get("ctx", {})
    if kind == "string_too_short" and ctx.get("min_length") == 1:
        return "some text"
    if kind in _TYPES:
        return _TYPES[kind]
    if kind in _BOUNDS:
        whole = {key: int(bound) if isinstance(bound, float) and bound.is_integer() else bound for key, bound in ctx.items()}
        return _BOUNDS[kind].format(**whole)
    if kind in ("literal_error", "enum"):
        return str(ctx["expected"])
    return detail["msg"].removeprefix("Input should be ").removeprefix("Input should ")


def _choice(detail: ErrorDetails) -> str:
    if detail["type"] not in ("literal_error", "enum") or not isinstance(detail["input"], str):
        return ""
    near = get_close_matches(detail["input"], findall(r"'([^']*)'", str(detail.get("ctx", {})["expected"])), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
