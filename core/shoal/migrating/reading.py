"""Reads a configuration file of an old workflow: which option each key means, and what is wrong, each with its line."""

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from shoal.errors import UsageError
from shoal.migrating.ranges import Range, looks_like_values, read_values
from shoal.migrating.table import Old, Row, Table, squash
from shoal.pipeline.nodes import Node, read

MOST = 30
"""Mistakes of one file that are told."""


@dataclass
class Found:
    """What an old file says.

    Attributes:
        values: value by row.
        places: `file:line` and the key as it is written, by row.
        problems: what is wrong, a sentence each.
        unknown: keys that mean nothing here, a sentence each.
        ranges: what a tuner is to try, by row.
    """

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, tuple[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    ranges: dict[str, Range] = field(default_factory=dict)


def read_old(text: str, where: str, table: Table) -> Found:
    """Return what an old file says.

    Args:
        text: YAML, or JSON, which is YAML too.
        where: what messages call it.
        table: options of the workflow that wrote it.

    Raises:
        UsageError: it is no YAML, no mapping, or a pipeline file of shoal.
    """
    root, problems = read(text, where)
    if root is not None and not isinstance(root.value, dict):
        raise UsageError(f"{root.where}: a configuration is a mapping of options (`key: value`); is it the right file?")
    if root is not None and isinstance(root.value, dict) and {"shoal", "steps"} <= set(root.value):
        raise UsageError(f"{where} is a pipeline file of shoal already; `shoal run {where} IMAGES` runs it")
    if problems:
        raise UsageError("\n".join(problems[:MOST]))
    reader = _Reader(table)
    if root is not None:
        reader.walk(root, "")
    reader.decide()
    return reader.found


class _Reader:
    """Walks the tree; keys that may mean several options wait until the others are known."""

    def __init__(self, table: Table) -> None:
        self.table, self.found = table, Found()
        self.waiting: list[tuple[list[Row], str, str, Node]] = []

    def walk(self, node: Node, section: str) -> None:
        parts = node.value if isinstance(node.value, dict) else {}
        for key, part in parts.items():
            inner = self.table.section(section, key)
            if inner is not None and inner == self.table.space:
                self._space(part, "")
            elif inner is not None and (part.value is None or isinstance(part.value, dict)):
                self.walk(part, inner)
            elif section == "" and isinstance(part.value, dict) and squash(key) in map(squash, self.table.wrappers):
                self.walk(part, "")
            else:
                self._option(section, key, part)

    def _option(self, section: str, key: str, node: Node) -> None:
        rows = self.table.candidates(section, key)
        if len(rows) > 1:
            self.waiting.append((rows, section, key, node))
        elif rows:
            self._take(rows[0], key, node)
        elif self._is_tuners(section) and isinstance(node.value, list | dict):
            self._space(Node({key: node}, node.where, node.line), "")
        else:
            told = len(self.found.unknown) < MOST
            said = self._unknown(section, key, node) if told else f"unknown option `{key}`"
            self.found.unknown.append(f"{node.where}: {said}")

    def _is_tuners(self, section: str) -> bool:
        return bool(section) and section == self.table.space.rpartition(".")[0]

    def _space(self, node: Node, section: str) -> None:
        """Take the values to try for options of a section: `min_cluster_size: [5, 10]`, `clustering.min_samples: ...`."""
        if not isinstance(node.value, dict):
            self.found.problems.append(f"{node.where}: name options and the values to try for each, one option a line")
            return
        for key, part in node.value.items():
            *fronts, name = key.split(".")
            inside = section
            for front in fronts:
                inside = self.table.section(inside, front) or inside
            inner = self.table.section(inside, name)
            if inner is not None and isinstance(part.value, dict) and not looks_like_values(part.plain()):
                self._space(part, inner)
            else:
                self._range(inside, name, key, part)

    def _range(self, section: str, name: str, key: str, node: Node) -> None:
        inside_tuner = self.table.space.partition(".")[0]
        rows = [row for row in self.table.candidates(section, name) if row.section.partition(".")[0] != inside_tuner]
        if not rows:
            self.found.unknown.append(f"{node.where}: {self._unknown(section, name, node)}")
        elif len(rows) > 1:
            meant = " or ".join(f"`{row.section.partition('.')[0]}.{row.spelled}`" for row in rows)
            self.found.problems.append(f"{node.where}: `{key}` may mean {meant}; name its section")
        elif rows[0].key in self.found.ranges:
            self.found.problems.append(f"{node.where}: `{key}` is given already ({self.found.ranges[rows[0].key].where[0]})")
        else:
            try:
                values = read_values(node.plain(), rows[0].reads)
            except ValueError as error:
                self.found.problems.append(f"{node.where}: `{key}` ({rows[0].name}) {error}")
            else:
                self.found.ranges[rows[0].key] = Range(rows[0], (node.where, key), values)

    def decide(self) -> None:
        """Choose among several options the one that is in use beside the others."""
        old = Old(self.found.values, self.table)
        for rows, section, key, node in self.waiting:
            used = [row for row in rows if not row.unless(old)] or rows[:1]
            own = [row for row in used if row.section == section]  # rather than of a part of the section
            if len(used) == 1 or len(own) == 1:
                self._take((own or used)[0], key, node)
            else:
                meant = " or ".join(f"{row.name} (`{row.section.replace('.', ': ')}: {key}`)" for row in used)
                self.found.problems.append(f"{node.where}: `{key}` may mean {meant}; put it below its section")

    def _take(self, row: Row, key: str, node: Node) -> None:
        value = node.plain()
        if row.key in self.found.places:
            first, other = self.found.places[row.key]
            self.found.problems.append(f"{node.where}: `{key}` is given already as `{other}` ({first}); keep one")
            return
        try:
            read_value = row.reads(value)
        except ValueError as error:
            if value not in (None, ""):  # an option without a value is one that is not given
                self.found.problems.append(f"{node.where}: `{key}` ({row.name}) {error}")
            return
        self.found.places[row.key] = (node.where, key)
        self.found.values[row.key] = read_value

    def _unknown(self, section: str, key: str, node: Node) -> str:
        said = f"unknown option `{key}`"
        if self.table.section(section, key) is not None:
            return f"`{key}` is a section, so its options stand below it, one a line"
        elsewhere = [row for row in self.table.candidates("", key) if section]
        near = _near(key, self.table.within(section))
        if isinstance(node.value, dict) and not near:
            names = [keys[0] for name, keys in self.table.sections.items() if name.rpartition(".")[0] == section]
            return f"unknown section `{key}`; sections here: {', '.join(names) or 'none'}"
        if elsewhere:
            return f"{said} of `{section}`; it belongs below `{elsewhere[0].section.partition('.')[0]}:`"
        if near:
            return f"{said}; did you mean `{near}`?"
        inside = ", ".join(row.spelled for row in self.table.within(section)) if section else ""
        return f"{said}; {f'options here: {inside}' if inside else 'take it out, or mend its name'}"


def _near(key: str, rows: tuple[Row, ...]) -> str:
    names = {squash(name): name for row in rows for name in (*row.keys, row.spelled)}
    found = get_close_matches(squash(key), names, n=1, cutoff=0.75)
    return names[found[0]] if found else ""
