"""What a tuning may change: options of steps, each with the values to choose from."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from shoal.errors import PipelineError, UsageError
from shoal.host import Host
from shoal.pipeline import Pipeline, override
from shoal.pipeline.document import text_of
from shoal.pipeline.messages import nearest, show
from shoal.pipeline.model import Step
from shoal.pipeline.nodes import Node, read

FORMAT = 1
CUT = 10
"""Values of a range that names no step."""
MOST_VALUES = 1000
KEYS = ("from", "to", "step", "log")

Value = bool | int | float | str | None
Genes = tuple[int, ...]
"""A candidate: the place of its value in each dimension."""


@dataclass(frozen=True)
class Dimension:
    """An option and its values.

    Attributes:
        option: `step.option`, as an override names it.
        values: to choose from.
        ordered: whether neighbouring values are alike, as those of a range are.
        where: its line in the file; empty for the default space.
    """

    option: str
    values: tuple[Value, ...]
    ordered: bool = False
    where: str = ""


@dataclass(frozen=True)
class Space:
    """The options that are tuned.

    Attributes:
        dimensions: in order.
        bounds: (lower, upper) places of dimensions: the value of the first may not be over that of the second.
    """

    dimensions: tuple[Dimension, ...]
    bounds: tuple[tuple[int, int], ...] = ()

    @property
    def size(self) -> int:
        """How many combinations there are."""
        return math.prod(len(dimension.values) for dimension in self.dimensions)

    def genes(self, place: int) -> Genes:
        """Return the combination at a place of the list of all, the last option changing fastest."""
        found = []
        for dimension in reversed(self.dimensions):
            place, gene = divmod(place, len(dimension.values))
            found.append(gene)
        return tuple(reversed(found))

    def values(self, genes: Genes) -> dict[str, Value]:
        """Return a candidate's options."""
        return {d.option: d.values[gene] for d, gene in zip(self.dimensions, genes, strict=True)}

    def overrides(self, genes: Genes) -> list[str]:
        """Return a candidate as overrides."""
        return [f"{option}={json.dumps(value)}" for option, value in self.values(genes).items()]

    def nearest(self, values: Mapping[str, Value]) -> Genes:
        """Return the candidate that is nearest to some options: those that a pipeline has."""
        return self.repaired(tuple(_closest(d.values, values.get(d.option)) for d in self.dimensions))

    def repaired(self, genes: Genes) -> Genes:
        """Return a candidate that keeps the bounds.

        The lower option is moved down to the largest value that keeps them; where none does, the upper one is moved up.
        """
        made = list(genes)
        for low, high in self.bounds:
            lows, highs = self.dimensions[low].values, self.dimensions[high].values
            if _over(lows[made[low]], highs[made[high]]):
                fit = [place for place, value in enumerate(lows) if not _over(value, highs[made[high]])]
                wide = [place for place, value in enumerate(highs) if not _over(_least(self.dimensions[low]), value)]
                if not fit:
                    made[high] = min(wide, key=lambda place: _number(highs[place]))
                    fit = [place for place, value in enumerate(lows) if not _over(value, highs[made[high]])]
                made[low] = max(fit, key=lambda place: _number(lows[place]))
        return tuple(made)


def load(path: str | Path, pipeline: Pipeline, host: Host) -> Space:
    """Return the space of a file: `shoal-space: 1`, and under `options:` a list or `{from, to, step, log}` an option.

    Raises:
        UsageError: the file is wrong; the message has a line for each mistake.
    """
    where = str(path)
    root, problems = read(text_of(Path(path), "space"), where)
    if root is None or not isinstance(root.value, dict):
        raise PipelineError(f"{where}: no space; begin with `shoal-space: {FORMAT}` and `options:`")
    for key, node in root.value.items():
        if key not in ("shoal-space", "options"):
            problems.append(f"{node.where}: `{key}` does not exist; {nearest(key, ('shoal-space', 'options'), 'keys')}")
    said = root.value.get("shoal-space")
    if said is None or said.value != FORMAT:
        problems.append(f"{said.where if said else where}: a space file says `shoal-space: {FORMAT}`")
    options = root.value.get("options")
    dimensions = _dimensions(options, where, problems)
    for dimension in dimensions:
        problems += _wrong(dimension, pipeline, host)
    if problems:
        raise PipelineError("\n".join(problems))
    return made(dimensions, pipeline)


def made(dimensions: Sequence[Dimension], pipeline: Pipeline) -> Space:
    """Return a space with the bounds that its options have.

    Raises:
        UsageError: some value can never keep them.
    """
    places = {dimension.option: place for place, dimension in enumerate(dimensions)}
    whole, bounds = list(dimensions), []
    for step in pipeline.steps:
        low, high = f"{step.name}.min_samples", f"{step.name}.min_cluster_size"
        if low not in places and high not in places:
            continue
        for option in (low, high):
            if option not in places:
                value = getattr(step.stage, option.rpartition(".")[2], None)
                if value is None:
                    break
                places[option] = len(whole)
                whole.append(Dimension(option, (value,)))
        else:
            bounds.append((places[low], places[high]))
            if _over(_least(whole[places[low]]), _most(whole[places[high]])):
                raise UsageError(
                    f"{whole[places[low]].where or low}: every {low} is over every {high}; a smaller one is needed"
                )
    return Space(tuple(whole), tuple(bounds))


def check_steps(space: Space, steps: Collection[str]) -> None:
    """Find out whether every option is one of some steps: those of others change no cluster, and candidates would be alike.

    Raises:
        UsageError: some is not.
    """
    told = [
        f"{d.where}: `{d.option}` changes no cluster; options of these steps do: {', '.join(sorted(steps))}"
        for d in space.dimensions
        if d.option.partition(".")[0] not in steps
    ]
    if told:
        raise UsageError("\n".join(told))


def default(pipeline: Pipeline, clusterer: str, reducer: str | None, images: int) -> Space:
    """Return a space for a pipeline that has a `reduce.umap` before a `cluster.hdbscan`.

    Raises:
        UsageError: it has others, for which a space must be written.
    """
    step = pipeline.step(clusterer)
    before = pipeline.step(reducer) if reducer else None
    if before is None or (before.stage.title(), step.stage.title()) != ("reduce.umap", "cluster.hdbscan"):
        raise UsageError(
            f"there is a default space for reduce.umap before cluster.hdbscan only, not for {step.stage.title()}; "
            "write one and name it with --space"
        )
    largest = max(25, images // 50)
    values: list[tuple[Step, str, tuple[Value, ...], bool]] = [
        (before, "components", (2, 3, 5, 8, 10, 15, 20), True),
        (before, "neighbors", (5, 8, 10, 12, 15, 20, 30, 50), True),
        (step, "min_cluster_size", _between(4, largest, None, True, True), True),
        (step, "min_samples", (2, 3, 5, 8, 10, 15), True),
        (step, "selection_epsilon", (0.0, 0.05, 0.1, 0.2, 0.3, 0.5), True),
        (step, "selection_method", ("eom", "leaf"), False),
    ]
    return made([Dimension(f"{of.name}.{name}", choices, ordered) for of, name, choices, ordered in values], pipeline)


def _dimensions(options: Node | None, where: str, problems: list[str]) -> list[Dimension]:
    if options is None or not isinstance(options.value, dict) or not options.value:
        problems.append(f"{options.where if options else where}: `options:` maps `step.option` to values; name one at least")
        return []
    found = []
    for option, node in options.value.items():
        try:
            found.append(_dimension(option, node))
        except ValueError as error:
            problems.append(f"{node.where}: `{option}`: {error}")
    return found


def _dimension(option: str, node: Node) -> Dimension:
    given = node.plain()
    if isinstance(given, list):
        return Dimension(option, _listed(given), _sorted_numbers(given), node.where)
    if not isinstance(given, dict):
        raise ValueError(f"give a list of values, or {{from: 2, to: 20}}, not {show(given)}")
    for key in given:
        if key not in KEYS:
            raise ValueError(f"`{key}` does not exist; {nearest(key, KEYS, 'keys')}")
    low, high, step, log = given.get("from"), given.get("to"), given.get("step"), given.get("log")
    if not (_is_number(low) and _is_number(high)) or low >= high:
        raise ValueError("a range needs numbers `from` and `to`, the first one smaller")
    if step is not None and (not _is_number(step) or step <= 0 or log):
        raise ValueError("`step` must be a number over 0, and goes without `log`")
    if log not in (None, True, False) or (log and low <= 0):
        raise ValueError("`log` is true or false, and a logarithmic range begins over 0")
    whole = all(isinstance(number, int) for number in (low, high, step) if number is not None)
    return Dimension(option, _between(low, high, step, bool(log), whole), True, node.where)


def _listed(given: list[Any]) -> tuple[Value, ...]:
    distinct = {(type(value), value) for value in given if _plain(value)}
    if not given or len(distinct) != len(given):
        raise ValueError("a list holds single values, each once, and one at least")
    return tuple(given)


def _sorted_numbers(given: list[Any]) -> bool:
    return all(_is_number(value) for value in given) and given == sorted(given)


def _between(low: float, high: float, step: float | None, log: bool, whole: bool) -> tuple[Value, ...]:
    """Return the values of a range: by its step, else all whole numbers where they are few, else cut evenly."""
    if step is not None:
        count = math.floor((high - low) / step + 1e-9) + 1
        if count > MOST_VALUES:
            raise ValueError(f"{count} values are more than {MOST_VALUES}; take a larger `step`")
        found = [low + step * place for place in range(count)]
    elif whole and not log and high - low < 2 * CUT:
        found = list(range(int(low), int(high) + 1))
    else:
        shares = [place / (CUT - 1) for place in range(CUT)]
        found = [low * (high / low) ** share if log else low + (high - low) * share for share in shares]
    return tuple(dict.fromkeys(round(value) if whole else float(f"{value:.10g}") for value in found))


def _wrong(dimension: Dimension, pipeline: Pipeline, host: Host) -> list[str]:
    """Return what is wrong with an option or a value, as an override would tell it, with the line of the file."""
    step, _, option = dimension.option.partition(".")
    if not option or option.split(".")[0] in ("run", "from", "only"):
        return [f"{dimension.where}: `{dimension.option}` is no STEP.OPTION; such as cluster.min_samples"]
    told: list[str] = []
    for value in dimension.values:
        try:
            override(pipeline, host, [f"{dimension.option}={json.dumps(value)}", *_partner(pipeline, step, option)])
        except PipelineError as error:
            told += [f"{dimension.where}: {line.partition(': ')[2]}" for line in str(error).splitlines()]
    return list(dict.fromkeys(told))[:3]


def _partner(pipeline: Pipeline, step: str, option: str) -> list[str]:
    """Return the override that keeps the bound of an option out of the way while its values are looked at singly."""
    other, wide = {"min_samples": ("min_cluster_size", 10**6), "min_cluster_size": ("min_samples", 2)}.get(option, ("", 0))
    stages = {known.name: known.stage for known in pipeline.steps}
    return [f"{step}.{other}={wide}"] if step in stages and other in type(stages[step]).model_fields else []


def _closest(values: Sequence[Value], wanted: Value) -> int:
    if wanted in values:
        return values.index(wanted)
    if not _is_number(wanted):
        return 0
    return min(range(len(values)), key=lambda place: abs(_number(values[place]) - _number(wanted)))


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Value) -> float:
    """Return a number; what is none (null) counts as the largest: it bounds nothing."""
    return float(value) if isinstance(value, int | float) else math.inf


def _over(low: Value, high: Value) -> bool:
    return _is_number(low) and _is_number(high) and _number(low) > _number(high)


def _least(dimension: Dimension) -> Value:
    return min(dimension.values, key=_number)


def _most(dimension: Dimension) -> Value:
    return max(dimension.values, key=_number)
