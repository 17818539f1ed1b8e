"""A pipeline file between text and pipeline: keys and types checked, no stage made yet. Overrides work on it."""

from dataclasses import dataclass, field

from shoal.pipeline.messages import nearest, show
from shoal.pipeline.model import FORMAT, MAX_STEPS, RESERVED, Head
from shoal.pipeline.nodes import Node

STEP_KEYS = ("use", "as", "from", "only", "with", "run")


@dataclass
class StepDraft:
    """A step as its file says it, before any stage is made; overrides change it in place.

    Attributes:
        name: `as`, or the kind of `use`.
        use: `kind.name`; None where it is missing or no text.
        sources: what `from` says; `only`: what `only` says.
        options, run: the mappings `with` and `run`.
    """

    name: str
    use: str | None
    place: Node
    sources: Node
    only: Node
    options: Node
    run: Node


@dataclass
class Draft:
    """A pipeline file, before any stage is made."""

    where: str
    head: dict[str, Node] = field(default_factory=dict)
    steps: list[StepDraft] = field(default_factory=list)


def make_draft(root: Node, where: str, problems: list[str]) -> Draft:
    """Return what a tree says as a pipeline, and add what is wrong with its keys and types to `problems`."""
    draft = Draft(where)
    if not isinstance(root.value, dict):
        problems.append(f"{root.where}: a pipeline is a mapping; begin with `shoal: {FORMAT}` and `steps:`")
        return draft
    for key, node in root.value.items():
        if key not in RESERVED:
            problems.append(f"{node.where}: unknown key {key!r}; {nearest(key, RESERVED, 'keys')}")
    _version(root.value.get("shoal"), root, problems)
    draft.head = {key: node for key, node in root.value.items() if key in Head.model_fields}
    steps = root.value.get("steps")
    if steps is None or not isinstance(steps.value, list):
        place = steps or root
        problems.append(f"{place.where}: `steps` must be a list of steps; the first one is `- use: index.folder`")
        return draft
    if not steps.value:
        problems.append(f"{steps.where}: `steps` is empty; the first step finds the images: `- use: index.folder`")
    if len(steps.value) > MAX_STEPS:
        problems.append(f"{steps.where}: {len(steps.value)} steps, where {MAX_STEPS} are the most; split the pipeline")
        return draft
    draft.steps = [made for node in steps.value if (made := _step(node, problems))]
    return draft


def _version(node: Node | None, root: Node, problems: list[str]) -> None:
    if node is None:
        problems.append(f"{root.where}: the format version is missing; add the line `shoal: {FORMAT}`")
    elif node.value != FORMAT or isinstance(node.value, bool):
        problems.append(
            f"{node.where}: this shoal reads format version {FORMAT}, not {show(node.plain())}; write `shoal: {FORMAT}`"
        )


def _step(node: Node, problems: list[str]) -> StepDraft | None:
    if not isinstance(node.value, dict):
        example = node.value if isinstance(node.value, str) else "kind.name"
        problems.append(f"{node.where}: a step is a mapping; write `- use: {example}`")
        return None
    for key, part in node.value.items():
        if key not in STEP_KEYS:
            problems.append(f"{part.where}: unknown key {key!r} of a step; {nearest(key, STEP_KEYS, 'keys')}")
    use = _word(node, "use", problems)
    if "use" not in node.value:
        problems.append(f"{node.where}: the step does not say which stage it uses; add `use: kind.name`")
    name = _word(node, "as", problems) or (use or "").partition(".")[0]
    empty = Node(None, node.where, node.line)
    return StepDraft(
        name,
        use,
        node,
        node.value.get("from", empty),
        node.value.get("only", empty),
        _mapping(node, "with", problems),
        _mapping(node, "run", problems),
    )


def _word(step: Node, key: str, problems: list[str]) -> str | None:
    node = step.value.get(key) if isinstance(step.value, dict) else None
    if node is None:
        return None
    if not isinstance(node.value, str) or not node.value:
        problems.append(f"{node.where}: `{key}` must be text, not {show(node.plain())}")
        return None
    return node.value


def _mapping(step: Node, key: str, problems: list[str]) -> Node:
    node = step.value.get(key) if isinstance(step.value, dict) else None
    if node is not None and isinstance(node.value, dict):
        return node
    if node is not None and node.value is not None:
        problems.append(f"{node.where}: `{key}` must be a mapping (`{key}: {{option: value}}`), not {show(node.plain())}")
    return Node({}, (node or step).where, (node or step).line)
