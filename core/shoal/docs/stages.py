"""The reference of stages and kinds."""

from itertools import groupby

from shoal.contract import ImageSpec, MapStage, Resources, Stage
from shoal.docs.markdown import columns, doc, options, table
from shoal.host import Host
from shoal.kinds import KINDS, Indexer


def kinds() -> str:
    """Return a table of the kinds of stage."""
    rows = []
    for kind in KINDS:
        shape = "listing" if issubclass(kind, Indexer) else "row by row" if issubclass(kind, MapStage) else "all rows"
        rows.append((f"`{kind.kind}`", f"`{kind.__name__}`", shape, doc(kind).partition("\n")[0]))
    return table(("kind", "class", "sees", "does"), rows)


def text(host: Host) -> str:
    """Return the reference of all stages, a chapter a kind."""
    parts = []
    for kind, group in groupby(host.stages.values(), key=lambda stage: stage.kind):
        stages = list(group)
        links = ", ".join(f"[{stage.title()}](#{stage.title().replace('.', '')})" for stage in stages)
        parts.append(f"## {kind}\n\n{links}")
        parts.extend(one(stage) for stage in stages)
    return "\n\n".join(parts)


MODELS = ("model", "path")
"""Main options that name a model: what such a stage makes is read from the model, which this machine may lack."""


def one(cls: type[Stage]) -> str:
    """Return the section of one stage: its docstring, columns, resources and options."""
    facts = [f"- {name}: {value}" for name, value in _facts(cls) if value]
    return "\n\n".join([f"### {cls.title()}", doc(cls), "\n".join(facts), options(cls)])


def _facts(cls: type[Stage]) -> list[tuple[str, str]]:
    stage = None if cls.shorthand in MODELS else cls()
    return [
        ("reads", columns(cls.consumes)),
        ("takes if there is", columns(cls.optional)),
        ("pixels", _pixels(stage)),
        ("makes", _made(stage)),
        ("a row is", "a cluster" if cls.key == "cluster" else ""),
        ("a worker wants", _needs(cls.resources) if issubclass(cls, MapStage) else ""),
        ("shorthand", f"`--set STEP={cls.name}:VALUE` sets `{cls.shorthand}`" if cls.shorthand else ""),
        ("version", f"`{cls.version}`"),
    ]


def _made(stage: Stage | None) -> str:
    return "what the model says" if stage is None else columns(stage.produces())


def _pixels(stage: Stage | None) -> str:
    spec: ImageSpec | None = stage.image if isinstance(stage, MapStage) else None
    if spec is None:
        return ""
    over = f", overscan {spec.overscan:g}" if spec.overscan != 1.0 else ""
    return f"RGB, {spec.width} x {spec.height} px, {spec.fit}, {spec.resample}{over}"


def _needs(resources: Resources) -> str:
    gpus = f", {resources.gpus:g} GPU where there is one" if resources.gpus else ""
    return f"{resources.cpus:g} CPU{gpus}, {resources.batch} rows at once"
