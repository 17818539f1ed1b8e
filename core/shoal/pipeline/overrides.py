"""Overrides of a pipeline file: what `--set` takes.

| override | does |
|---|---|
| `cluster.min_cluster_size=15` | sets an option of the step `cluster`; the value is YAML |
| `STEP.OPTION.KEY=VALUE` | sets one key of an option that is a mapping |
| `embed=timm:NAME` | another stage of its kind; NAME is its main option; `run:`, `from:`, `only:` and `prepare:` stay |
| `embed.run.batch=64` | sets how a step runs |
| `reduce.from=clip` | sets which steps a step reads from |
| `caption.only=sample` | sets which images a step is done for: those in the step `sample`; `all`: every one |
| `max_failed=0.1` | sets a key of the file |

Stages are replaced first, then options are set, so an option always belongs to the stage that runs; of two overrides of
one thing the later one wins.
"""

from collections.abc import Sequence
from difflib import get_close_matches

from pydantic import BaseModel

from shoal.contract import Stage
from shoal.errors import PipelineError, UsageError
from shoal.host import Host
from shoal.pipeline.draft import STEP_KEYS, Draft, StepDraft
from shoal.pipeline.messages import nearest
from shoal.pipeline.model import Head
from shoal.pipeline.nodes import Node, read, scalar, wrap


def apply(draft: Draft, host: Host, overrides: Sequence[str]) -> list[str]:
    """Change a draft in place; return what is wrong with the overrides, a sentence each."""
    problems: list[str] = []
    ordered = sorted(overrides, key=lambda text: "." in text.partition("=")[0])  # stable: replacements come first
    for text in ordered:
        try:
            _one(draft, host, text)
        except UsageError as error:
            problems.append(f"--set {text}: {error}")
    return problems


def _one(draft: Draft, host: Host, text: str) -> None:
    key, equals, value = text.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise PipelineError("an override is STEP.OPTION=VALUE, STEP=STAGE or KEY=VALUE")
    where = f"--set {text}"
    if len(path) == 1 and path[0] in Head.model_fields:
        draft.head[path[0]] = value_of(value, where)
    elif len(path) == 1:
        _replace(_step(draft, host, path[0], path), host, value.strip(), where)
    else:
        _set(_step(draft, host, path[0], path), host, path[1:], value_of(value, where))


def value_of(text: str, where: str) -> Node:
    """Read a value: YAML where it begins like a list, a mapping or a quoted text, else one plain scalar."""
    text = text.strip()
    if text[:1] not in ("[", "{", "'", '"'):
        return wrap(scalar(text), where)
    try:
        node, problems = read(text, "value")
    except PipelineError as error:
        raise PipelineError(str(error).partition(": ")[2]) from error
    if problems or node is None:
        raise PipelineError("; ".join(problems))
    return wrap(node.plain(), where)


def _step(draft: Draft, host: Host, name: str, path: list[str]) -> StepDraft:
    for step in draft.steps:
        if step.name == name:
            return step
    names = [step.name for step in draft.steps]
    for step in draft.steps:  # people also call a step by its stage
        if step.use and name in (step.use, step.use.partition(".")[2]):
            raise PipelineError(f"there is no step {name!r}; the step that uses {step.use} is called {step.name!r}")
    if len(path) == 1:
        owners = [step.name for step in draft.steps if name in _options(step, host)]
        if owners:
            raise PipelineError(
                f"{name!r} is an option, not a step; did you mean {' or '.join(f'{o}.{name}' for o in owners)}?"
            )
        names += list(Head.model_fields)
    raise PipelineError(f"there is no step {name!r}; {nearest(name, names)}")


def _options(step: StepDraft, host: Host) -> tuple[str, ...]:
    try:
        return tuple(host.stage(step.use or "").model_fields)
    except UsageError:
        return ()


def _replace(step: StepDraft, host: Host, value: str, where: str) -> None:
    head, colon, argument = value.partition(":")
    cls = _stage(step, host, head)
    if colon and cls.shorthand is None:
        raise PipelineError(
            f"{cls.title()} takes nothing after `:`; set its options by name: --set {step.name}.OPTION=VALUE"
        )
    step.use = cls.title()
    given = step.options.value if isinstance(step.options.value, dict) else {}
    options = {name: node for name, node in given.items() if name in _of_kind(cls)}
    if colon:
        options[str(cls.shorthand)] = wrap(argument, where)
    step.options = Node(options, where)


def _of_kind(cls: type[Stage]) -> set[str]:
    """Return the options that every stage of a stage's kind has, those of the class that names the kind."""
    bases = [base for base in reversed(cls.__mro__) if issubclass(base, Stage)]
    named = next(base for base in bases if getattr(base, "kind", None) == cls.kind)
    return set(named.model_fields)


def _stage(step: StepDraft, host: Host, head: str) -> type[Stage]:
    kind = (step.use or step.name).partition(".")[0]
    if (kind, head) in host.stages:
        return host.stages[kind, head]
    titles = {cls.title(): cls for cls in host.stages.values()}
    if head in titles:
        _same_kind(step.name, kind, titles[head])
        return titles[head]
    names = [name for other, name in host.stages if other == kind]
    near = get_close_matches(head.removeprefix(f"{kind}."), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"stages of kind {kind!r}: {', '.join(names) or 'none'}"
    broken = f" (plugins that could not be loaded: {', '.join(b.name for b in host.broken)})" if host.broken else ""
    raise PipelineError(f"there is no stage {head!r} of kind {kind!r}; {hint}{broken}")


def _same_kind(name: str, kind: str, cls: type[Stage]) -> None:
    """Refuse to put a stage of one kind where steps count on the columns of another."""
    if cls.kind != kind:
        raise PipelineError(
            f"step {name!r} is of kind {kind!r}, so {cls.title()} can't take its place; change the file instead"
        )


def _set(step: StepDraft, host: Host, path: list[str], value: Node) -> None:
    if path[0] == "from" and len(path) == 1:
        step.sources = value
    elif path[0] == "only" and len(path) == 1:
        step.only = value
    elif path[0] == "run" and len(path) == 2:
        _insert(step.run, path[1:], value)
    elif path[0] in STEP_KEYS:
        raise PipelineError(_mend(step, path))
    else:
        _defaults(step, host, path)
        _insert(step.options, path, value)


def _mend(step: StepDraft, path: list[str]) -> str:
    wanted = {
        "use": f"write {step.name}=STAGE to give the step another stage",
        "as": "a step is renamed in the file, not by an override",
        "with": f"options are set without `with`: {'.'.join([step.name, *path[1:]])}=VALUE",
        "run": f"say which setting: {step.name}.run.batch=VALUE",
        "from": f"write {step.name}.from=NAME",
        "only": f"write {step.name}.only=NAME, or {step.name}.only=all",
    }
    return f"`{path[0]}` is one of the keys {', '.join(STEP_KEYS)} of a step; {wanted[path[0]]}"


def _defaults(step: StepDraft, host: Host, path: list[str]) -> None:
    """Write out the default of a mapping before a part of it is set, so that the other parts stay."""
    options = step.options.value
    if len(path) == 1 or not isinstance(options, dict) or path[0] in options:
        return
    try:
        fields = host.stage(step.use or "").model_fields
    except UsageError:
        return
    default = fields[path[0]].get_default(call_default_factory=True) if path[0] in fields else None
    dumped = default.model_dump(mode="json") if isinstance(default, BaseModel) else default
    if isinstance(dumped, dict):
        options[path[0]] = wrap(dumped, step.options.where)


def _insert(options: Node, path: list[str], value: Node) -> None:
    node = options
    for part in path[:-1]:
        if not isinstance(node.value, dict):
            break
        node = node.value.setdefault(part, Node({}, value.where))
    if not isinstance(node.value, dict):
        raise PipelineError(f"{path[0]!r} is no mapping, so it has no part {'.'.join(path[1:])!r}")
    node.value[path[-1]] = value
