"""What a pipeline is, however it was written: steps in order, each a stage with a name and the steps it reads from."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from shoal.contract import Stage
from shoal.errors import PipelineError, UsageError
from shoal.pipeline.messages import nearest, validate
from shoal.pipeline.nodes import dump, wrap

FORMAT = 1
"""Version of the pipeline file format."""

MAX_STEPS = 200
ALL = "all"
"""What `only:` says for every image, which is also what a step without it does."""

RESERVED = ("shoal", "name", "description", "max_failed", "steps")
NAME_PATTERN = "[A-Za-z][A-Za-z0-9_-]{0,63}"


class RunSettings(BaseModel):
    """How a step runs. None of it changes a row, so none of it is part of what rows are kept by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    actors: int | None = Field(None, ge=1, le=10_000, description="Number of workers that run the step at once.")
    batch: int | None = Field(None, ge=1, le=1_000_000, description="Rows that a worker gets at once.")
    cpus: float | None = Field(None, ge=0, le=4096, description="Logical CPUs of one worker.")
    gpus: float | None = Field(None, ge=0, le=64, description="GPUs of one worker; 0 keeps the step on CPUs.")


class Head(BaseModel):
    """What a pipeline file says above its steps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        "pipeline", min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$", description="Name of the pipeline."
    )
    description: str = Field("", max_length=1000, description="What it does, in one line.")
    max_failed: float = Field(
        0.5,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share of images that may fail before the run fails loudly (0 to 1).",
    )


@dataclass(frozen=True)
class Step:
    """A stage in its place.

    Attributes:
        name: what `from:` and overrides call it; unique in its pipeline.
        stage: the stage with its options.
        sources: names of earlier steps whose columns are meant, where several make columns of one name.
        settings: how it runs.
        only: names of earlier steps: a map step is done for the images that one of these has a row for; empty: for all.
            It says which rows are wanted, not what is in them, so like `settings` it is not part of what rows are kept by.
        line: its line in the pipeline file; 0 where there is none.
    """

    name: str
    stage: Stage
    sources: tuple[str, ...] = ()
    settings: RunSettings = field(default_factory=RunSettings)
    only: tuple[str, ...] = ()
    line: int = field(default=0, compare=False)

    @classmethod
    def of(
        cls,
        stage: Stage,
        *,
        name: str | None = None,
        sources: str | Iterable[str] = (),
        settings: RunSettings | None = None,
        only: str | Iterable[str] = (),
    ) -> "Step":
        """Return a step named after its stage's kind unless `name` says otherwise.

        >>> Step.of(Umap(components=2), name="position", sources="embed")  # doctest: +SKIP
        """
        named = (sources,) if isinstance(sources, str) else tuple(sources)
        chosen = (only,) if isinstance(only, str) else tuple(only)
        return cls(name or stage.kind, stage, named, settings or RunSettings(), () if chosen == (ALL,) else chosen)


@dataclass(frozen=True)
class Pipeline:
    """Steps in order. Made by `load`, `parse` or `Pipeline.of`, which check that it holds together.

    Attributes:
        name: name of the recipe or file.
        description: one line.
        max_failed: share of images that may fail before the run fails loudly, 0 to 1.
        steps: the first one is the index.
    """

    name: str
    description: str
    max_failed: float
    steps: tuple[Step, ...]

    @classmethod
    def of(
        cls, steps: Sequence[Stage | Step], *, name: str = "pipeline", description: str = "", max_failed: float = 0.5
    ) -> "Pipeline":
        """Return a pipeline built in Python from stages, or steps where a name, sources or settings matter.

        >>> Pipeline.of([Folder(), Lite0(), Umap(components=5), Step.of(Hdbscan(), name="groups")])  # doctest: +SKIP

        Raises:
            PipelineError: names clash, a source is unknown, or the first step is no index.
        """
        made = tuple(step if isinstance(step, Step) else Step.of(step) for step in steps)
        values = {"name": name, "description": description, "max_failed": max_failed}
        head, problems = validate(Head, wrap(values, "pipeline"), lambda key: f"`{key}`")
        slots = [Slot(step.name, step.stage.kind, step.sources, step.only) for step in made]
        problems += [f"step {place + 1} ({slots[place].name}): {text}" if slots else text for place, text in check(slots)]
        if problems or head is None:
            raise PipelineError("\n".join(problems))
        return cls(head.name, head.description, head.max_failed, made)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the steps, in order."""
        return tuple(step.name for step in self.steps)

    def step(self, name: str) -> Step:
        """Return the step of this name.

        Raises:
            UsageError: there is none; the message names the nearest.
        """
        for step in self.steps:
            if step.name == name:
                return step
        raise UsageError(f"pipeline {self.name} has no step {name!r}; {nearest(name, self.names)}")

    def to_yaml(self) -> str:
        """Return a pipeline file that makes the same run again: every option is written out, defaults too."""
        head = {"shoal": FORMAT, "name": self.name, "description": self.description, "max_failed": self.max_failed}
        return dump({**head, "steps": [_step_data(step) for step in self.steps]})


def _step_data(step: Step) -> dict[str, object]:
    stage, data = step.stage, {"use": step.stage.title()}
    parts: dict[str, object] = {
        "as": step.name if step.name != stage.kind else None,
        "from": step.sources[0] if len(step.sources) == 1 else list(step.sources),
        "only": step.only[0] if len(step.only) == 1 else list(step.only),
        "with": stage.model_dump(mode="json", include=set(type(stage).model_fields)),
        "run": step.settings.model_dump(exclude_none=True),
    }
    return {**data, **{key: part for key, part in parts.items() if part}}


class Slot(NamedTuple):
    """As much of a step as the checks of a pipeline's structure need; `kind` may be unknown in a broken file."""

    name: str
    kind: str | None
    sources: tuple[str, ...]
    only: tuple[str, ...] = ()


def check(slots: Sequence[Slot]) -> list[tuple[int, str]]:
    """Return what is wrong with a pipeline's structure: (place of the step, message)."""
    if not slots:
        return [(0, "`steps` is empty; the first step finds the images: `- use: index.folder`")]
    found: list[tuple[int, str]] = []
    seen: dict[str, int] = {}
    names = [slot.name for slot in slots]
    for place, slot in enumerate(slots):
        found += [(place, text) for text in (*_name_problems(slot, seen), *_index_problems(place, slot))]
        for key, named in (("from", slot.sources), ("only", slot.only)):
            later, earlier = names[place + 1 :], list(seen)
            found += [(place, _name_problem(key, name, slot, later, earlier)) for name in named if name not in seen]
        seen.setdefault(slot.name, place)
    return found


def _name_problems(slot: Slot, seen: dict[str, int]) -> list[str]:
    if slot.name in seen:
        return [f"a step named {slot.name!r} exists already (step {seen[slot.name] + 1}); name this one with `as:`"]
    if slot.name in (*RESERVED, ALL):
        return [f"a step can't be named {slot.name!r}, which is a word of pipeline files; choose another `as:`"]
    if not re.fullmatch(NAME_PATTERN, slot.name):
        return [f"{slot.name!r} is no name for a step; take letters, digits, `_` and `-`, a letter first, at most 64"]
    return []


def _index_problems(place: int, slot: Slot) -> list[str]:
    if place == 0 and slot.kind not in ("index", None):
        return [
            f"the first step must find the images, but this one is of kind {slot.kind!r}; begin with `- use: index.folder`"
        ]
    if place > 0 and slot.kind == "index":
        return ["only the first step can be an index; run two sources into the same store instead"]
    return []


def _name_problem(key: str, name: str, slot: Slot, later: list[str], earlier: list[str]) -> str:
    if name == slot.name:
        return f"`{key}` names the step itself ({name!r}); {nearest('', earlier, 'steps before it')}"
    if name in later:
        return f"`{key}` names the later step {name!r}; move that one before this one"
    return f"`{key}` names the unknown step {name!r}; {nearest(name, earlier, 'steps before it')}"
