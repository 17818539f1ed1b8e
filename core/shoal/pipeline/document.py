"""Reads pipeline files: YAML to a checked `Pipeline`, every mistake of a file told at once, each with its line."""

from collections.abc import Sequence
from pathlib import Path

from shoal.contract import Stage
from shoal.errors import PipelineError, UsageError
from shoal.host import Host
from shoal.pipeline import recipes
from shoal.pipeline.draft import Draft, StepDraft, make_draft
from shoal.pipeline.messages import show, validate
from shoal.pipeline.model import ALL, FORMAT, Head, Pipeline, RunSettings, Slot, Step, check
from shoal.pipeline.nodes import Node, read
from shoal.pipeline.overrides import apply

MAX_BYTES = 256 * 1024
MAX_TOLD = 30
"""Mistakes that one error tells."""


def load(source: str | Path, host: Host, overrides: Sequence[str] = ()) -> Pipeline:
    """Return the pipeline of a file or a recipe.

    Args:
        source: a path (a `Path`, or text with a `/` or an ending `.yaml` or `.yml`), or the name of a recipe.
        host: knows the stages.
        overrides: as `--set` takes them; the last one wins.

    Raises:
        PipelineError: it can't be read or is wrong; the message has a line for each mistake.
    """
    path = recipes.locate(source)
    return parse(text_of(path), host, overrides, where=str(path), name=path.stem)


def parse(text: str, host: Host, overrides: Sequence[str] = (), where: str = "<text>", name: str = "pipeline") -> Pipeline:
    """Return the pipeline that a YAML text describes.

    Args:
        text: the file's content.
        host: knows the stages.
        overrides: as `--set` takes them; the last one wins.
        where: what messages call the text.
        name: of the pipeline where the text gives none.

    Raises:
        PipelineError: the text or an override is wrong; the message has a line for each mistake.
    """
    if len(text) > MAX_BYTES:
        raise PipelineError(f"{where}: longer than {MAX_BYTES // 1024} KiB, which no pipeline is; is it the right file?")
    root, problems = read(text, where)
    if root is None:
        raise PipelineError("\n".join([*problems, f"{where}: the file is empty; begin with `shoal: {FORMAT}` and `steps:`"]))
    draft = make_draft(root, where, problems)
    problems += apply(draft, host, overrides)
    made = _build(draft, host, name, problems)
    if problems or made is None:
        raise PipelineError(_together(problems))
    return made


def override(pipeline: Pipeline, host: Host, overrides: Sequence[str]) -> Pipeline:
    """Return a pipeline, made in Python or read before, with overrides as `--set` takes them.

    Raises:
        PipelineError: an override is wrong, or a stage is not known to the host.
    """
    return parse(pipeline.to_yaml(), host, overrides, where=f"pipeline {pipeline.name}") if overrides else pipeline


def _together(problems: list[str]) -> str:
    lines = list(dict.fromkeys(problems))
    more = [f"... and {len(lines) - MAX_TOLD} more"] if len(lines) > MAX_TOLD else []
    return "\n".join(lines[:MAX_TOLD] + more)


def text_of(path: Path, called: str = "pipeline") -> str:
    """Return the text of a file that people wrote.

    Args:
        path: the file.
        called: what messages call such a file.

    Raises:
        PipelineError: it can't be read, is no UTF-8 text, or is longer than any such file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PipelineError(f"{path} can't be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise PipelineError(f"{path}: longer than {MAX_BYTES // 1024} KiB, which no {called} is; is it the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PipelineError(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from error


def _build(draft: Draft, host: Host, name: str, problems: list[str]) -> Pipeline | None:
    given = {"name": Node(name, draft.where)} | draft.head
    head, wrong = validate(Head, Node(dict(given), draft.where), lambda key: f"`{key}`")
    problems += wrong
    slots = [_slot(step, problems) for step in draft.steps]
    if draft.steps:
        problems += [f"{_place(draft.steps[at], text)}: {text}" for at, text in check(slots) if slots[at].name]
    steps = [_made(step, slot, host, problems) for step, slot in zip(draft.steps, slots, strict=True)]
    if head is None or problems:
        return None
    return Pipeline(head.name, head.description, head.max_failed, tuple(step for step in steps if step))


def _place(step: StepDraft, text: str) -> str:
    """Return the line of the key that a problem is about, rather than that of the step."""
    if text.startswith("`from`"):
        return step.sources.where
    return step.only.where if text.startswith("`only`") else step.place.where


def _slot(step: StepDraft, problems: list[str]) -> Slot:
    kind = (step.use or "").partition(".")[0] or None
    only = _names("only", step.only, problems)
    return Slot(step.name, kind, _names("from", step.sources, problems), () if only == (ALL,) else only)


def _names(key: str, node: Node, problems: list[str]) -> tuple[str, ...]:
    """Return the step or steps that a key names."""
    value = node.plain()
    if value is None:
        return ()
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        problems.append(f"{node.where}: `{key}` must be the name of a step or a list of names, not {show(value)}")
        return ()
    return tuple(dict.fromkeys(names))


def _made(step: StepDraft, slot: Slot, host: Host, problems: list[str]) -> Step | None:
    settings, wrong = validate(RunSettings, step.run, lambda key: f"`run.{key}` of step {step.name!r}")
    problems += wrong
    if step.use is None:
        return None
    try:
        cls = host.stage(step.use)
    except UsageError as error:
        problems.append(f"{_use_place(step)}: {error}")
        return None
    stage, wrong = validate(cls, step.options, lambda key: f"option `{key}` of {cls.title()}" if key else cls.title())
    problems += wrong
    if not isinstance(stage, Stage) or settings is None:
        return None
    return Step(step.name, stage, slot.sources, settings, slot.only, step.place.line)


def _use_place(step: StepDraft) -> str:
    parts = step.place.value
    return parts["use"].where if isinstance(parts, dict) and "use" in parts else step.place.where
