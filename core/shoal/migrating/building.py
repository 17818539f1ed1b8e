"""Turns the values of an old file into a pipeline file, the commands to give, and what a user should know."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from shoal.contract import Stage
from shoal.errors import PipelineError, UsageError
from shoal.host import Host
from shoal.migrating.ranges import space_text
from shoal.migrating.reading import MOST, Found
from shoal.migrating.table import Effect, Old, Row, Table
from shoal.pipeline import load, parse
from shoal.pipeline.draft import STEP_KEYS
from shoal.pipeline.model import FORMAT, Pipeline, Step
from shoal.pipeline.nodes import dump


@dataclass(frozen=True)
class Imported:
    """What an old file becomes.

    Attributes:
        pipeline: checked.
        text: the pipeline file.
        flags: (command, flag or argument, value) of the commands to give.
        variables: environment variables that the commands need.
        notes: what a user should know, a sentence each.
        space: the space file of `shoal tune`; empty where the old file names no values to try.
    """

    pipeline: Pipeline
    text: str
    flags: tuple[tuple[str, str, str | None], ...]
    variables: Mapping[str, str]
    notes: tuple[str, ...]
    space: str = ""


@dataclass
class _Gathered:
    overrides: dict[str, str] = field(default_factory=dict)  # override -> where it comes from
    flags: list[tuple[str, str, str | None]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def build(table: Table, found: Found, host: Host, where: str, shoal_defaults: bool = False) -> Imported:
    """Return what an old file becomes.

    Args:
        table: options of the workflow that wrote it.
        found: what it says.
        host: knows the stages.
        where: what the pipeline file says it came from.
        shoal_defaults: leave what the file does not say to the recipe, instead of to the workflow's defaults.

    Raises:
        PipelineError: a value is outside what shoal takes; the message has the line of the old file.
    """
    recipe = load(table.recipe, host)
    effects, gathered = _effects(table, found, shoal_defaults)
    stages = _stages(recipe, host, effects)
    for row, effect in effects:
        _gather(row, effect, found, stages, gathered)
    if gathered.problems:
        raise PipelineError("\n".join(gathered.problems))
    try:
        made = load(table.recipe, host, list(gathered.overrides))
    except PipelineError as error:
        raise PipelineError(_placed(str(error), gathered.overrides)) from error
    made = _arranged(made, table)
    text = _text(made, table, where)
    parse(text, host, where="the imported pipeline")
    space = _space(table, found, made, host, where, gathered)
    flags = (*table.flags, *gathered.flags)
    return Imported(made, text, flags, gathered.variables, tuple(sorted(gathered.notes, key=_line)), space)


def _space(table: Table, found: Found, made: Pipeline, host: Host, where: str, gathered: _Gathered) -> str:
    old = Old(found.values, table)
    if found.ranges and table.tuner and old.get(table.tuner) is False:
        place, key = next(iter(found.ranges.values())).where
        gathered.notes.append(f"{place}: `{key}`: no effect, because tuning is off")
        return ""
    return space_text(found.ranges, old, made, host, f"# Made by `shoal import-config` from {where}.\n")


def _effects(table: Table, found: Found, shoal_defaults: bool) -> tuple[list[tuple[Row, Effect]], _Gathered]:
    """Return the effect of each option that is given or has a default, and what is told of those without."""
    old, gathered, effects = Old(found.values, table), _Gathered(), []
    for row in table.rows:
        given = old.given(row.key)
        if not given and (shoal_defaults or row.default is None):
            continue
        reason = row.unless(old)
        if reason and given:
            never = "; a key is never copied" if row.secret else ""
            gathered.notes.append(f"{_place(row, found)}: no effect, because {reason}{never}")
        if reason:
            continue
        try:
            effects.append((row, row.effect(old.get(row.key), old)))
        except ValueError as error:
            gathered.problems.append(f"{_place(row, found)}: {error}")
    return effects, gathered


def _place(row: Row, found: Found) -> str:
    where, key = found.places.get(row.key, ("left out", row.spelled))
    return f"{where}: `{key}`"


def _line(note: str) -> int:
    """Return the line of the old file that a note is about."""
    found = re.search(r":(\d+): `", note)
    return int(found[1]) if found else 0


def _stages(recipe: Pipeline, host: Host, effects: Sequence[tuple[Row, Effect]]) -> dict[str, type[Stage]]:
    """Return the stage of each step once the steps that get another one have it."""
    stages = {step.name: type(step.stage) for step in recipe.steps}
    for _, effect in effects:
        for text in effect.overrides:
            step, _, value = text.partition("=")
            if "." not in step and step in stages:
                stages[step] = host.stage(f"{stages[step].kind}.{value.partition(':')[0]}")
    return stages


def _gather(row: Row, effect: Effect, found: Found, stages: Mapping[str, type[Stage]], into: _Gathered) -> None:
    given = row.key in found.values
    kept = [text for text in effect.overrides if _taken(text, stages)]
    into.overrides.update(dict.fromkeys(kept, _place(row, found)))
    into.flags.extend(flag for flag in effect.flags if flag not in into.flags)
    into.variables.update(effect.variables)
    if given and effect.told:
        into.notes.append(f"{_place(row, found)}: {effect.told}")
    elif given and effect.overrides and not kept:
        step, _, option = effect.overrides[-1].partition("=")[0].partition(".")
        title = stages[step].title() if step in stages else f"the recipe, without a step {step!r},"
        into.notes.append(f"{_place(row, found)}: no effect, because {title} has no option `{option}`")


def _taken(override: str, stages: Mapping[str, type[Stage]]) -> bool:
    """Tell whether the step that an override is about has what it sets."""
    step, dot, option = override.partition("=")[0].partition(".")
    if step not in stages or not dot:
        return step in stages
    return option.partition(".")[0] in (*STEP_KEYS, *stages[step].model_fields)


def _placed(message: str, overrides: Mapping[str, str]) -> str:
    """Return the lines of an error with the place in the old file instead of the override that it became."""
    lines = []
    for line in message.splitlines():
        source = next((text for text in overrides if line.startswith(f"--set {text}: ")), None)
        lines.append(line if source is None else f"{overrides[source]}: {line.removeprefix(f'--set {source}: ')}")
    return "\n".join(lines)


def _arranged(pipeline: Pipeline, table: Table) -> Pipeline:
    """Return the pipeline without steps that nothing reads any more, and with others done only where they are wanted."""
    read = {name for step in pipeline.steps for name in (*step.sources, *step.only)}
    kept = [step for step in pipeline.steps if step.name in read or step.name not in table.spare]
    by_name = {step.name: step for step in kept}
    for name, reader in table.only_for.items():
        if name in by_name and reader in by_name:
            kept.remove(by_name[name])
            kept.insert(kept.index(by_name[reader]), replace(by_name[name], only=by_name[reader].only))
    return Pipeline(f"{table.workflow}-imported", pipeline.description, pipeline.max_failed, tuple(kept))


def _text(pipeline: Pipeline, table: Table, where: str) -> str:
    """Return a pipeline file with the options that the recipe or the old file sets."""
    head = {"shoal": FORMAT, "name": pipeline.name, "description": pipeline.description, "max_failed": pipeline.max_failed}
    comment = f"# Made by `shoal import-config` from {where} and the recipe {table.recipe}.\n"
    return comment + dump({**head, "steps": [_step(step) for step in pipeline.steps]})


def _step(step: Step) -> dict[str, object]:
    parts: dict[str, object] = {
        "as": step.name if step.name != step.stage.kind else None,
        "from": step.sources[0] if len(step.sources) == 1 else list(step.sources),
        "only": step.only[0] if len(step.only) == 1 else list(step.only),
        "with": step.stage.model_dump(mode="json", include=step.stage.model_fields_set & set(type(step.stage).model_fields)),
        "run": step.settings.model_dump(exclude_none=True),
    }
    return {"use": step.stage.title(), **{key: part for key, part in parts.items() if part}}


def space_file(pipeline_file: str) -> str:
    """Return where the space file of a pipeline file lies: `pipeline.space.yaml` beside `pipeline.yaml`."""
    return f"{pipeline_file.removesuffix('.yaml').removesuffix('.yml')}.space.yaml"


def commands(imported: Imported, pipeline_file: str) -> list[str]:
    """Return the commands to give, one after the other, as a shell takes them.

    Args:
        imported: what the old file became.
        pipeline_file: path of the pipeline file; the space file lies beside it.
    """
    said: dict[str, dict[str, str | None]] = {}
    for command, flag, value in imported.flags:
        flags = said.setdefault(command, {})
        key = f"--set {(value or '').partition('=')[0]}" if flag == "--set" else flag  # it may be repeated, once an option
        flags[key] = f"{flags[key]},{value}" if flag == "--force" and flags.get(flag) else value
    images, root, store = _folders(said.get("run", {}))
    front = [f"{name}={shlex.quote(value)}" for name, value in imported.variables.items()]
    spelled = pipeline_file if "/" in pipeline_file or pipeline_file.endswith((".yaml", ".yml")) else f"./{pipeline_file}"
    how = said.get("export", {}).pop("--as", None) or "workflow"
    lines = [
        ["run", spelled, images, "--out", store, *_words(said.get("run", {}))],
        ["organize", store, "--to", f"{root}/sorted", *_words(said.get("organize", {}))],
        ["export", store, "--as", how, "--to", f"{root}/{how}", *_words(said.get("export", {}))],
    ]
    if "tune" in said or imported.space:
        space = ["--space", space_file(spelled)] if imported.space else []
        lines.append(["tune", spelled, images, "--out", store, *space, *_words(said.get("tune", {}))])
    shell = [" ".join(shlex.quote(word) for word in ("shoal", *words)) for words in lines]
    return [" ".join([*front, line]) if line.startswith(("shoal run", "shoal tune")) else line for line in shell]


def _folders(run: Mapping[str, str | None]) -> tuple[str, str, str]:
    """Return where the images are, where files go, and where the store is: never around the files, which it would claim."""
    root = (run.get("OUTPUT") or "out").rstrip("/") or "/"
    store = (run.get("--out") or f"{root}/store").rstrip("/")
    if f"{root}/".startswith(f"{store}/"):
        store = f"{root}/store"
    return run.get("IMAGES") or "photos/", root, store


def _words(flags: Mapping[str, str | None]) -> list[str]:
    shown = {flag: value for flag, value in flags.items() if flag.startswith("--") and flag != "--out"}
    return [word for flag, value in shown.items() for word in ((flag,) if value is None else (flag.split()[0], value))]


def check_no_problems(found: Found, ignore_unknown: bool) -> None:
    """Refuse a file with mistakes.

    Raises:
        UsageError: it has some; a line for each.
    """
    wrong = [*found.problems, *(() if ignore_unknown else found.unknown)]
    if wrong:
        more = [f"... and {len(wrong) - MOST} more"] if len(wrong) > MOST else []
        raise UsageError("\n".join([*wrong[:MOST], *more]))
