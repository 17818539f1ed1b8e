"""The values that a tuner's configuration wants tried, and the space file of `shoal tune` that they become."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shoal.errors import PipelineError
from shoal.host import Host
from shoal.migrating.table import Old, Row, squash
from shoal.pipeline import Pipeline, override
from shoal.pipeline.messages import show
from shoal.pipeline.nodes import dump

FORMAT = 1
"""Of space files, as `shoal tune` reads them."""

_LIST = ("values", "choices", "options", "candidates")
_ENDS = {
    "from": ("from", "min", "low", "lower", "start", "minimum"),
    "to": ("to", "max", "high", "upper", "stop", "end", "maximum"),
    "step": ("step", "increment"),
    "log": ("log", "logarithmic", "log_scale"),
}
_KINDS = ("type", "dtype", "kind")
"""Said by some files beside the values, which show it themselves."""


@dataclass(frozen=True)
class Range:
    """What is to be tried for an option.

    Attributes:
        row: the option.
        where: `file:line` and the key as it is written.
        values: a list, or the ends of a range as a space file has them: `from`, `to`, `step`, `log`.
    """

    row: Row
    where: tuple[str, str]
    values: list[Any] | dict[str, Any]


def looks_like_values(value: Any) -> bool:
    """Tell whether a mapping is the values of one option rather than options."""
    known = {squash(name) for name in (*_LIST, *_KINDS, *(name for names in _ENDS.values() for name in names))}
    return isinstance(value, Mapping) and bool(value) and {squash(key) for key in value} <= known


def read_values(value: Any, reads: Callable[[Any], Any]) -> list[Any] | dict[str, Any]:
    """Return what is to be tried: of a list, one value, `{values: [...]}` or `{min: 2, max: 20, step: 2}`.

    Raises:
        ValueError: it is none of these, or a value is not what the option takes.
    """
    if not isinstance(value, dict):
        values = [reads(part) for part in (value if isinstance(value, list) else [value])]
        if not values:
            raise ValueError("must have one value at least")
        return list({json.dumps(made): made for made in values}.values())
    given = {squash(key): part for key, part in value.items() if squash(key) not in _KINDS}
    if len(given) == 1 and (key := next(iter(given))) in _LIST:
        return read_values(given[key] if isinstance(given[key], list) else [given[key]], reads)
    made = {}
    for name, spellings in _ENDS.items():
        for said in [given.pop(squash(key)) for key in spellings if squash(key) in given]:
            made[name] = said if name == "log" else reads(said)
    if given or not {"from", "to"} <= made.keys():
        raise ValueError(f"must be a list of values, or a range such as {{min: 2, max: 20}}, not {show(value)}")
    return made


def space_text(ranges: Mapping[str, Range], old: Old, pipeline: Pipeline, host: Host, comment: str) -> str:
    """Return the space file; nothing where there is nothing to try.

    Raises:
        PipelineError: an option can't be tuned, or doesn't take a value; a line for each.
    """
    options: dict[str, Any] = {}
    problems: list[str] = []
    for wanted in ranges.values():
        where, key = wanted.where
        try:
            option, values = _option(wanted, old)
            for value in values if isinstance(values, list) else [values["from"], values["to"]]:
                override(pipeline, host, [f"{option}={json.dumps(value)}"])
            options[option] = values
        except ValueError as error:
            problems.append(f"{where}: `{key}`: {error}")
        except PipelineError as error:
            # values are checked one by one; what two options together refuse, the tuner keeps apart by itself
            told = [line.partition(": ")[2] for line in str(error).splitlines()]
            problems += [f"{where}: `{key}`: {line}" for line in told if "is over" not in line]
            options[option] = values
    if problems:
        raise PipelineError("\n".join(problems))
    return f"{comment}{dump({'shoal-space': FORMAT, 'options': options})}" if options else ""


def _option(wanted: Range, old: Old) -> tuple[str, list[Any] | dict[str, Any]]:
    """Return `step.option` and its values as shoal has them."""
    homes = set()

    def turned(value: Any) -> Any:
        effect = wanted.row.effect(value, old)
        if len(effect.overrides) != 1 or "." not in effect.overrides[0].partition("=")[0]:
            raise ValueError(f"{wanted.row.name} can't be tuned; take it out of the space")
        home, _, said = effect.overrides[0].partition("=")
        homes.add(home)
        return json.loads(said)

    if isinstance(wanted.values, list):
        made: list[Any] | dict[str, Any] = [turned(value) for value in wanted.values]
    else:
        made = {**wanted.values, **{end: turned(wanted.values[end]) for end in ("from", "to")}}
    return homes.pop(), made
