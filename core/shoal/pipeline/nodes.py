"""YAML text to a tree that knows the line of every value, and back; only plain values, nothing that runs or explodes.

Scalars follow YAML 1.2 (core schema): `no`, `on`, `1:30` and dates are text, `1e-3` is a number. Tags other than the plain
ones, duplicate and merge keys, deep nesting and alias bombs are errors.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import yaml

from shoal.errors import PipelineError

Scalar = str | int | float | bool | None

MAX_DEPTH = 30
MAX_NODES = 20_000
_CORE = {f"tag:yaml.org,2002:{name}": name for name in ("str", "int", "float", "bool", "null", "seq", "map")}
_INT = re.compile(r"[-+]?[0-9]{1,30}|0o[0-7]{1,30}|0x[0-9a-fA-F]{1,30}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass
class Node:
    """A value of a pipeline file.

    Attributes:
        value: a scalar, a list of nodes or a mapping of nodes.
        where: `file:line` of its key (of itself in a list), or the override that set it.
        line: the line, from 1; 0 for an override.
    """

    value: "Scalar | list[Node] | dict[str, Node]"
    where: str
    line: int = 0

    def plain(self) -> Any:
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        return [node.plain() for node in self.value] if isinstance(self.value, list) else self.value

    def inner(self, path: tuple[str | int, ...]) -> "tuple[Node, tuple[str | int, ...]]":
        """Return the deepest node along `path`, and the part of `path` that leads there."""
        node, done = self, 0
        for part in path:
            if isinstance(node.value, dict) and part in node.value:
                node = node.value[str(part)]
            elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
            else:
                break
            done += 1
        return node, path[:done]


def wrap(value: Any, where: str) -> Node:
    """Return plain values as a tree in which every value comes from one place."""
    if isinstance(value, dict):
        return Node({str(key): wrap(part, where) for key, part in value.items()}, where)
    return Node([wrap(part, where) for part in value] if isinstance(value, list | tuple) else value, where)


def read(text: str, where: str) -> tuple[Node | None, list[str]]:
    """Return the tree of a YAML text (None when it holds nothing) and what is wrong with single values.

    Args:
        text: one YAML document.
        where: what messages call it.

    Raises:
        PipelineError: the text is no YAML, or is deeper or larger than any pipeline.
    """
    reader = _Reader(text, where)
    try:
        return reader.document(), reader.problems
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise PipelineError(f"{where}:{mark.line + 1 if mark else 1}: {_explain(text, error)}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = int(error.character)  # for text, PyYAML gives the code point
        raise PipelineError(f"{where}:{line}: character U+{code:04X} is not allowed; remove it") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # escapes beyond Unicode raise ValueError
        raise PipelineError(f"{where}: not YAML ({error})") from error


def scalar(text: str) -> Scalar:
    """Return what an unquoted text means in YAML 1.2's core schema."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def dump(data: Any) -> str:
    """Return plain values as YAML that reads back the same, here and in YAML 1.1 readers."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML takes for something else than text, and writes short lists in one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.SequenceNode:
    flat = not any(isinstance(part, list | tuple | dict) for part in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flat)


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    style = None if isinstance(scalar(data), str) else "'"
    if not data.replace("\n", "").isprintable():  # PyYAML writes some line separators plainly and reads them as blanks
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(list, _list)
_Dumper.add_representer(tuple, _list)  # type: ignore[arg-type]
_Dumper.add_representer(str, _text)


class _Reader:
    """Builds the tree from parser events, so that depth and aliases are bounded before anything is built."""

    def __init__(self, text: str, where: str) -> None:
        self.text, self.where = text, where
        self.problems: list[str] = []
        self.anchors: dict[str, Node] = {}
        self.nodes = 0

    def document(self) -> Node | None:
        loader = yaml.SafeLoader(self.text)
        try:
            self.events: Iterator[yaml.Event] = iter(loader.get_event, None)
            next(self.events)
            if isinstance(next(self.events), yaml.StreamEndEvent):
                return None
            root = self._node(next(self.events), 0)
            next(self.events)
            after = next(self.events)
            if not isinstance(after, yaml.StreamEndEvent):
                self._problem(after, "a second document starts here; keep one pipeline a file")
            return None if root.value is None else root
        finally:
            loader.dispose()

    def _at(self, event: yaml.Event) -> tuple[str, int]:
        line = event.start_mark.line + 1 if event.start_mark else 1
        return f"{self.where}:{line}", line

    def _problem(self, event: yaml.Event, message: str) -> None:
        self.problems.append(f"{self._at(event)[0]}: {message}")

    def _count(self, event: yaml.Event, depth: int, more: int = 1) -> None:
        self.nodes += more
        if depth > MAX_DEPTH:
            raise PipelineError(f"{self._at(event)[0]}: nested more than {MAX_DEPTH} levels deep, which no pipeline needs")
        if self.nodes > MAX_NODES:
            raise PipelineError(
                f"{self._at(event)[0]}: more than {MAX_NODES} values (aliases counted), which no pipeline needs"
            )

    def _node(self, event: yaml.Event, depth: int) -> Node:
        self._count(event, depth)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        where, line = self._at(event)
        node = Node(None, where, line)
        tag = getattr(event, "tag", None)
        if tag not in (None, "!") and tag not in _CORE:
            self._problem(event, f"the tag {tag!r} is not allowed; write plain values")
        if isinstance(event, yaml.ScalarEvent):
            node.value = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node.value = self._sequence(depth)
        else:
            node.value = self._mapping(depth)
        if anchor := getattr(event, "anchor", None):
            self.anchors[anchor] = node
        return node

    def _alias(self, event: yaml.AliasEvent, depth: int) -> Node:
        if event.anchor not in self.anchors:
            self._problem(event, f"`*{event.anchor}` is used before `&{event.anchor}` is complete")
            return Node(None, *self._at(event))
        return self._copy(self.anchors[event.anchor], event, depth)

    def _copy(self, node: Node, event: yaml.Event, depth: int) -> Node:
        self._count(event, depth)
        value = node.value
        if isinstance(value, dict):
            return replace(node, value={key: self._copy(part, event, depth + 1) for key, part in value.items()})
        if isinstance(value, list):
            return replace(node, value=[self._copy(part, event, depth + 1) for part in value])
        return replace(node)

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        try:
            event.value.encode()
        except UnicodeEncodeError:
            self._problem(event, "text holds half a surrogate pair; write the character itself")
            return ""
        kind = _CORE.get(event.tag or "")
        value = event.value if (event.style is not None and kind is None) or kind == "str" else scalar(event.value)
        if kind is not None and type(value).__name__ != {"null": "NoneType"}.get(kind, kind):
            self._problem(event, f"{event.value!r} is no {kind}")
        if isinstance(value, float) and math.isnan(value):
            self._problem(event, "`.nan` is no value for an option")
        return value

    def _sequence(self, depth: int) -> list[Node]:
        parts = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            parts.append(self._node(event, depth + 1))
        return parts

    def _mapping(self, depth: int) -> dict[str, Node]:
        parts: dict[str, Node] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self._key(event, depth)
            node = self._node(next(self.events), depth + 1)
            if key is None:
                continue
            if key in parts:
                self._problem(event, f"`{key}` is given twice (first in line {parts[key].line}); keep one")
                continue
            node.where, node.line = self._at(event)
            parts[key] = node
        return parts

    def _key(self, event: yaml.Event, depth: int) -> str | None:
        if not isinstance(event, yaml.ScalarEvent):
            self._problem(event, "a key must be plain text")
            self._node(event, depth + 1)
            return None
        if event.value == "<<" and event.style is None:
            self._problem(event, "merge keys (`<<`) are not supported; write the options out")
            return None
        self._count(event, depth)
        return str(self._scalar(_as_text(event)))


def _as_text(event: yaml.ScalarEvent) -> yaml.ScalarEvent:
    """Return a scalar event that reads as text, as every key does."""
    return yaml.ScalarEvent(event.anchor, None, (False, True), event.value, event.start_mark, event.end_mark, style="'")


def _explain(text: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark
    problem = str(error.problem or error.context)
    if "\\t" in problem or (mark and text.splitlines()[mark.line : mark.line + 1] and _tabbed(text.splitlines()[mark.line])):
        return "a tab is used for indenting; use spaces"
    return f"not YAML ({problem})"


def _tabbed(line: str) -> bool:
    return "\t" in line[: len(line) - len(line.lstrip())]
