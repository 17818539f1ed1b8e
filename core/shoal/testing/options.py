"""The rules for every stage: it is its options, and it travels without its weights."""

import json
import pickle
import re
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from shoal.contract import MapStage, Resources, Stage
from shoal.errors import ShoalError
from shoal.testing.common import explain, fail

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def check_options(stage: Stage) -> None:
    """Check class attributes, options, identity, hash and pickle of a stage that is not set up."""
    _check_class(stage)
    _check_schemas(stage)
    _check_round_trip(stage)
    check_pickle(stage)
    _check_identity(stage)


def _check_class(stage: Stage) -> None:
    cls = type(stage)
    for attribute in ("kind", "name"):
        value = getattr(cls, attribute, None)
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            fail(stage, f"`{attribute}` is {value!r}; it must be lower-case letters, digits and _, such as 'hue'")
    if not isinstance(cls.version, str) or not cls.version:
        fail(stage, f"`version` is {cls.version!r}; it must be a string such as '1'")
    needs = cls.resources
    if not isinstance(needs, Resources) or needs.batch < 1 or min(needs.cpus, needs.gpus) < 0:
        fail(stage, f"`resources` is {needs!r}; it must be Resources with batch >= 1 and no negative number")
    if cls.model_config.get("frozen") is not True:
        fail(stage, "its options can be changed after they are made; leave `frozen=True` in model_config")
    if cls.model_config.get("extra") != "forbid":
        fail(stage, "it accepts unknown options silently; leave `extra='forbid'` in model_config")
    if cls.shorthand is not None and cls.shorthand not in cls.model_fields:
        fail(stage, f"`shorthand` names {cls.shorthand!r}, which is none of its options {list(cls.model_fields)}")
    for option in cls.aside:
        if option not in cls.model_fields:
            fail(stage, f"`aside` names {option!r}, which is none of its options {list(cls.model_fields)}")


def _check_schemas(stage: Stage) -> None:
    cls = type(stage)
    for attribute in ("consumes", "optional"):
        if not isinstance(getattr(cls, attribute), pa.Schema):
            fail(stage, f"`{attribute}` is no Arrow schema; write `columns(embedding=vector())`")
    both = sorted(set(cls.consumes.names) & set(cls.optional.names))
    if both:
        fail(stage, f"column {both[0]!r} is both consumed and optional")
    try:
        made = stage.produces()
    except Exception as error:
        fail(stage, f"produces() must work before setup, and raised {explain(error)}")
    if not isinstance(made, pa.Schema) or not made.equals(stage.produces()):
        fail(stage, "produces() must return one Arrow schema, the same on every call")
    if len(set(made.names)) != len(made.names) or not made.names:
        fail(stage, f"produces() names {made.names}; it needs at least one column, each once")
    if stage.key in made.names:
        fail(stage, f"produces() names its key column {stage.key!r}; shoal adds that itself")
    for field in made if isinstance(stage, MapStage) else []:
        if pa.types.is_list(field.type) and pa.types.is_floating(field.type.value_type):
            fail(stage, f"column {field.name!r} is a vector of any size; a producer must give the size: `vector(128)`")


def _check_round_trip(stage: Stage) -> None:
    try:
        text = stage.model_dump_json()
        again = type(stage).model_validate_json(text)
    except ValueError as error:
        fail(stage, f"its options do not survive JSON: {' '.join(str(error).split())}")
    if again.model_dump() != stage.model_dump():
        fail(stage, f"its options do not survive JSON: {again.model_dump()} came back for {stage.model_dump()}")
    try:
        type(stage).model_json_schema()
    except Exception as error:
        fail(stage, f"its options have no JSON schema, which docs and editors need: {explain(error)}")


def check_pickle(stage: Stage, fresh: bytes | None = None) -> bytes:
    """Check that a stage pickles to an equal stage, and not to more than `fresh`, its pickle before `setup`."""
    try:
        data = pickle.dumps(stage)
        again = pickle.loads(data)  # noqa: S301  (what was just written)
    except Exception as error:
        when = "after setup" if fresh is not None else "before setup"
        fail(stage, f"it must pickle to reach its workers; {when} that raised {explain(error)}")
    if again != stage:
        fail(stage, "the stage that comes out of pickle is another one; keep state in options or private attributes")
    if fresh is not None and len(data) > len(fresh):
        fail(
            stage,
            f"it carries {len(data) - len(fresh)} bytes of what setup loaded; keep weights in private attributes with a "
            "default (`_model: Any = PrivateAttr(None)`), which stay behind",
        )
    return data


def _check_identity(stage: Stage) -> None:
    try:
        identity = stage.identity()
        said = json.dumps(identity, sort_keys=True, allow_nan=False)
    except ShoalError as error:
        fail(stage, f"identity() raised {explain(error)}; check it with options that point at things that exist")
    except (TypeError, ValueError) as error:
        fail(stage, f"identity() must be made of JSON values: {error}")
    for part in ("kind", "name", "version"):
        if identity.get(part) != getattr(stage, part):
            fail(stage, f"identity() lacks {part!r}; extend `super().identity()`")
    twin = type(stage).model_validate(stage.model_dump())
    if json.dumps(twin.identity(), sort_keys=True) != said or hash(twin) != hash(stage) or twin != stage:
        fail(stage, "two stages with the same options have different identities, so nothing would be found again")
    for option, other in _variants(stage):
        text = _identity_text(other)
        if text is not None and (text == said or other == stage):
            fail(
                stage,
                f"{option}={getattr(stage, option)!r} and {option}={getattr(other, option)!r} have the same identity, so "
                "rows of one would be taken for the other",
            )


def _identity_text(stage: Stage) -> str | None:
    try:
        return json.dumps(stage.identity(), sort_keys=True)
    except (ShoalError, OSError):  # the other value points at nothing
        return None


def _variants(stage: Stage) -> Iterator[tuple[str, Stage]]:
    """Yield the stage with one option changed at a time, where a valid other value is found."""
    dump = stage.model_dump()
    for option, info in type(stage).model_fields.items():
        if option in stage.aside:
            continue
        for values in _changes(info.annotation, dump[option]):
            for value in values:
                try:
                    other = type(stage).model_validate({**dump, option: value})
                except (ValidationError, ShoalError):
                    continue
                if getattr(other, option) != getattr(stage, option):
                    yield option, other
                    break


def _changes(annotation: Any, value: Any) -> Iterator[list[Any]]:
    """Yield other values for an option, and where it is a model with options of its own, for each of these."""
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel) and isinstance(value, dict)):
        yield [*_literals(annotation), *_others(value)]
        return
    for name, info in annotation.model_fields.items():
        for values in _changes(info.annotation, value[name]):
            yield [{**value, name: other} for other in values]


def _literals(annotation: Any) -> Iterator[Any]:
    if typing.get_origin(annotation) is typing.Literal:
        yield from typing.get_args(annotation)
    elif isinstance(annotation, type) and issubclass(annotation, Enum):
        yield from annotation
    else:
        for part in typing.get_args(annotation):
            yield from _literals(part)


def _others(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value - 1, value * 2, value / 2, value + 0.01, value - 0.01]
    if isinstance(value, str):
        return [value + "x", value[:-1], "0"]
    if isinstance(value, Path):
        return [value / "other"]
    if isinstance(value, tuple | list):
        return [(), *((*value[:-1], other) for other in (_others(value[-1]) if value else ())), ("x",), (1,)]
    return [True, 1, 0.5, "x"] if value is None else []
