"""The plan of a pipeline: which step's columns each step reads, and the fingerprints that its rows are kept by."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from shoal.contract import Makers, MapStage, Stage, TableStage
from shoal.errors import PipelineError
from shoal.images import IMAGE_VERSION
from shoal.kinds import Indexer, Visualizer
from shoal.pipeline.model import Pipeline, RunSettings, Step
from shoal.schema import columns, fits

CONTRACT_VERSION = 1
INDEX = "index"

CONTENT_COLUMNS = columns(
    width=pa.int32(), height=pa.int32(), format=pa.string(), mode=pa.string(), frames=pa.int32(), bytes=pa.int64()
)
"""Index columns that the bytes of an image determine: a map stage may read these."""

IMAGE_COLUMNS = pa.schema(
    [
        *CONTENT_COLUMNS,
        pa.field("path", pa.string()),
        pa.field("paths", pa.list_(pa.string())),
        pa.field("item", pa.string()),
        pa.field("view", pa.string()),
        pa.field("exif", pa.list_(pa.struct([("tag", pa.string()), ("text", pa.string())]))),
    ]
)
"""Columns that the index gives of every image, besides `id`."""


@dataclass(frozen=True)
class Source:
    """Where a consumed column comes from: the step (or `index`), and for a column by cluster, the step that numbers them."""

    step: str
    column: str
    by_cluster_of: str | None = None


@dataclass(frozen=True)
class PlannedStep:
    """A step that knows its inputs.

    Attributes:
        name, stage, settings: as the pipeline says.
        sources: source by consumed column; optional columns that nobody makes are left out.
        required: names of the columns without which a row is not shown to the stage. For a map stage these are all: a row
            that it makes without an optional one would be kept, and taken for the row that it makes with it.
        only: names of the steps whose images it is done for; empty: all.
        fingerprint: sha256 of the stage's identity and of the fingerprints that it reads.
    """

    name: str
    stage: Stage
    settings: RunSettings
    sources: Mapping[str, Source] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    fingerprint: str = ""
    only: tuple[str, ...] = ()

    @property
    def makers(self) -> set[str]:
        """Names of the steps whose columns it reads."""
        steps = {source.step for source in self.sources.values()}
        return steps | {source.by_cluster_of for source in self.sources.values() if source.by_cluster_of}

    @property
    def inputs(self) -> set[str]:
        """Names of the steps that must be done before it."""
        return {*self.only, *self.makers}


@dataclass(frozen=True)
class Plan:
    """A pipeline whose columns join up.

    Attributes:
        index: the step that lists the files.
        steps: the others, in order.
    """

    pipeline: Pipeline
    index: PlannedStep
    steps: tuple[PlannedStep, ...]

    def step(self, name: str) -> PlannedStep:
        """Return a step by name."""
        return next(step for step in (self.index, *self.steps) if step.name == name)


def plan(pipeline: Pipeline) -> Plan:
    """Join up the columns of a pipeline.

    Raises:
        PipelineError: a column that a step consumes is made by no earlier step, or by several between which `from:` must
            choose.
    """
    first, *rest = pipeline.steps
    index = PlannedStep(first.name, first.stage, first.settings, fingerprint=_fingerprint(first.stage, {}))
    done: list[PlannedStep] = []
    for step in rest:
        done.append(_join(step, done, index.name))
    return Plan(pipeline, index, tuple(done))


def _join(step: Step, earlier: Sequence[PlannedStep], index: str) -> PlannedStep:
    by_name = {other.name: other for other in earlier}
    sources = _sources(step, earlier, index)
    stage = step.stage.bind(_makers(sources, by_name, {}))
    if stage is not step.stage:
        sources = _sources(replace(step, stage=stage), earlier, index)
    _check_only(step, by_name)
    fingerprints = {name: _of(source, earlier) for name, source in sources.items()}
    names = frozenset(wanted.name for wanted, required in _wanted(stage) if required or isinstance(stage, MapStage))
    return PlannedStep(step.name, stage, step.settings, sources, names, _fingerprint(stage, fingerprints), step.only)


def _makers(sources: Mapping[str, Source], earlier: Mapping[str, PlannedStep], known: dict[str, Makers]) -> Makers:
    """Return the stages that make these columns, with their own makers; `known` keeps what was found, by step."""
    steps = {name: earlier[source.step] for name, source in sources.items() if source.step in earlier}
    for step in steps.values():
        if step.name not in known:
            known[step.name] = _makers(step.sources, earlier, known)
    stages = {name: step.stage for name, step in steps.items()}
    return Makers(stages, {name: known[step.name] for name, step in steps.items()})


def _sources(step: Step, earlier: Sequence[PlannedStep], index: str) -> dict[str, Source]:
    found = {wanted.name: _find(step, wanted, earlier, index, required) for wanted, required in _wanted(step.stage)}
    return {name: source for name, source in found.items() if source is not None}


def _check_only(step: Step, earlier: Mapping[str, PlannedStep]) -> None:
    where = f"line {step.line}: step {step.name!r}"
    if step.only and not isinstance(step.stage, MapStage):
        raise PipelineError(f"{where} says `only`, but {step.stage.title()} sees all images at once; leave `only` out")
    for name in step.only:
        maker = earlier.get(name)
        if maker is None or not is_table(maker) or maker.stage.key != "id" or isinstance(maker.stage, Visualizer):
            raise PipelineError(
                f"{where} is done only for the images of step {name!r}, which picks none; name a step such as a sampler"
            )


def _wanted(stage: Stage) -> list[tuple[pa.Field, bool]]:
    return [(column, True) for column in stage.consumes] + [(column, False) for column in stage.optional]


def _find(step: Step, wanted: pa.Field, earlier: Sequence[PlannedStep], index: str, required: bool) -> Source | None:
    makers = [maker for maker in earlier if wanted.name in _columns(maker)]
    named = [maker for maker in makers if maker.name in step.sources]
    where = f"line {step.line}: step {step.name!r}"
    if not makers:
        return _from_index(step, wanted, index, required, where)
    maker = _nearest(named or makers, earlier)
    if maker is None:
        choices = ", ".join(repr(candidate.name) for candidate in makers)
        raise PipelineError(
            f"{where} reads the column {wanted.name!r}, which the steps {choices} make; say which with `from:`"
        )
    have = _columns(maker)[wanted.name]
    if not fits(have, wanted.type):
        raise PipelineError(
            f"{where} wants the column {wanted.name!r} as {wanted.type}, and step {maker.name!r} makes it as {have}"
        )
    if isinstance(step.stage, MapStage) and not isinstance(maker.stage, MapStage):
        if not required:
            return None
        raise PipelineError(
            f"{where} works image by image, and step {maker.name!r}, which makes {wanted.name!r}, needs all images at once"
        )
    by_cluster = maker.sources["cluster"].step if maker.stage.key == "cluster" else None
    return Source(maker.name, wanted.name, by_cluster)


def _from_index(step: Step, wanted: pa.Field, index: str, required: bool, where: str) -> Source | None:
    by_content = isinstance(step.stage, MapStage)
    known = CONTENT_COLUMNS if by_content else IMAGE_COLUMNS
    if wanted.name in known.names and fits(known.field(wanted.name).type, wanted.type):
        return Source(index, wanted.name)
    if not required:
        return None
    if by_content and wanted.name in IMAGE_COLUMNS.names:
        raise PipelineError(
            f"{where} reads {wanted.name!r}, but its rows are kept by content, which has no path: make it a TableStage"
        )
    raise PipelineError(f"{where} ({step.stage.title()}) reads the column {wanted.name!r}, which no earlier step makes")


def _columns(step: PlannedStep) -> dict[str, pa.DataType]:
    schema = step.stage.produces()
    if isinstance(step.stage, Indexer):
        return {}
    return {column.name: column.type for column in schema}


def _nearest(makers: Sequence[PlannedStep], earlier: Sequence[PlannedStep]) -> PlannedStep | None:
    """Return the last maker, if every other one is either the same or something that the last one was made from.

    The same is the same stage over the same inputs, done for the same images.
    """
    last = makers[-1]
    ancestors, same = _ancestors(last, earlier), (last.fingerprint, _chosen(last, earlier))
    for other in makers[:-1]:
        if other.name not in ancestors and (other.fingerprint, _chosen(other, earlier)) != same:
            return None
    return last


def _chosen(step: PlannedStep, earlier: Sequence[PlannedStep]) -> frozenset[frozenset[str]]:
    """Return what the `only` of a step and of those that it was made from name."""
    chain = {step.name, *_ancestors(step, earlier)}
    return frozenset(frozenset(other.only) for other in earlier if other.name in chain and other.only)


def _ancestors(step: PlannedStep, earlier: Sequence[PlannedStep]) -> set[str]:
    by_name = {other.name: other for other in earlier}
    found: set[str] = set()
    todo = list(step.makers)
    while todo:
        name = todo.pop()
        if name in by_name and name not in found:
            found.add(name)
            todo.extend(by_name[name].makers)
    return found


def _of(source: Source, earlier: Sequence[PlannedStep]) -> str:
    return next((step.fingerprint for step in earlier if step.name == source.step), f"{INDEX}:{source.column}")


def _fingerprint(stage: Stage, inputs: Mapping[str, str]) -> str:
    identity: dict[str, Any] = {"contract": CONTRACT_VERSION, "stage": stage.identity(), "inputs": dict(inputs)}
    if isinstance(stage, MapStage) and stage.pixels is not None:
        identity["image"] = IMAGE_VERSION
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def is_table(step: PlannedStep) -> bool:
    """Tell whether a step sees all rows at once."""
    return isinstance(step.stage, TableStage)
