"""What a table of old options is made of: rows that say how people wrote an option and what it becomes in shoal."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

MOOT = "not needed"
"""The home of an option that shoal has no use for; the row's `note` says why."""

_BREAKS = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


@lru_cache(4096)
def squash(key: str) -> str:
    """Return a key without case, blanks, `_` and `-`: `PCA components`, `pca_components`, `pcaComponents` are one."""
    return re.sub(r"[^0-9a-z]", "", key.lower())


def literal(value: Any) -> str:
    """Return a value as an override says it, one that reads back as just this value."""
    return _BREAKS.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


@dataclass(frozen=True)
class Effect:
    """What an old value becomes.

    Attributes:
        overrides: as `--set` takes them, on the recipe.
        flags: (command, flag or the argument's place, value); the value None is a flag that stands alone.
        variables: environment variables of the commands.
        told: what a user should know, in one sentence without its full stop; for an option without effect, why it has none.
    """

    overrides: tuple[str, ...] = ()
    flags: tuple[tuple[str, str, str | None], ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    told: str = ""


def sets(home: str, value: Any) -> Effect:
    """Return the effect that sets an option of a step."""
    return Effect((f"{home}={literal(value)}",))


class Old:
    """The values of an old file, and the workflow's defaults for what it leaves out."""

    def __init__(self, given: Mapping[str, Any], table: "Table") -> None:
        """Keep what the file gives, by row."""
        self._given, self._table = dict(given), table

    def given(self, key: str) -> bool:
        """Tell whether the file gives an option."""
        return key in self._given

    def get(self, key: str) -> Any:
        """Return the value of an option: the file's, or the default."""
        return self._given[key] if key in self._given else self._table.row(key).default


Turn = Callable[[Any, Old], Effect]


def flag(command: str, name: str) -> Turn:
    """Return what makes an option the flag (or the argument's place) of a command, with its value."""
    return lambda value, old: Effect(flags=((command, name, str(value)),))


@dataclass(frozen=True)
class Row:
    """An option of an old workflow.

    Attributes:
        section: the section of old files that it lies in; a part of a section after a dot (`clustering.dbscan`).
        name: what the workflow calls it.
        reads: turns what YAML says into a value, or raises ValueError("must be ...").
        home: where it lies now: options of steps, flags of commands, variables, or `MOOT`.
        default: what the workflow does where the file is silent; None where it has no default.
        keys: other names that people give it in files, in their section or in a file without sections.
        turn: what a value becomes; None sets the first home.
        note: how values are turned, or why it is not needed; for the page.
        unless: tells why the option has no effect beside the others (`the clustering backend is dbscan`), or nothing.
        shown: the default in words, where the value itself does not say it.
        anywhere: whether people put it into other sections as well.
        secret: whether its value is never shown.
        listed: whether the workflow's own tables have it; the others are what people write besides.
    """

    section: str
    name: str
    reads: Callable[[Any], Any]
    home: tuple[str, ...]
    default: Any = None
    keys: tuple[str, ...] = ()
    turn: Turn | None = None
    note: str = ""
    unless: Callable[[Old], str] = lambda old: ""
    shown: str = ""
    anywhere: bool = False
    secret: bool = False
    listed: bool = True

    @property
    def key(self) -> str:
        """What the code calls it: `embedding.batch_size`."""
        return f"{self.section}.{self.spelled}"

    @property
    def spelled(self) -> str:
        """The name as a key of a file: `batch_size`."""
        return re.sub(r"[^0-9a-z]+", "_", self.name.lower()).strip("_")

    @property
    def moot(self) -> bool:
        """Whether shoal has no use for it."""
        return self.home == (MOOT,)

    def effect(self, value: Any, old: Old) -> Effect:
        """Return what a value becomes."""
        if self.turn is not None:
            return self.turn(value, old)
        return Effect(told=self.note) if self.moot else sets(self.home[0], value)

    def is_called(self, key: str) -> bool:
        """Tell whether a squashed key is one of its names."""
        return key in (squash(self.name), *map(squash, self.keys))


@dataclass(frozen=True)
class Table:
    """The options of an old workflow.

    Attributes:
        workflow: its name.
        recipe: the recipe that does what it did.
        sections: the names of its sections in old files, the first one as messages call it.
        rows: its options.
        spare: steps of the recipe that go where no other step names them after all options are set.
        only_for: steps of the recipe that another step alone reads: they are done for its images only.
        wrappers: names of a mapping around everything.
        flags: of the commands, whatever the file says.
        space: the section whose keys are options of other sections, with the values to try for each; none has no tuner.
        tuner: the option that switches the tuner off.
    """

    workflow: str
    recipe: str
    sections: Mapping[str, tuple[str, ...]]
    rows: tuple[Row, ...]
    spare: tuple[str, ...] = ()
    only_for: Mapping[str, str] = field(default_factory=dict)
    wrappers: tuple[str, ...] = ("config", "configuration", "settings", "options", "workflow", "pipeline")
    flags: tuple[tuple[str, str, str | None], ...] = ()
    space: str = ""
    tuner: str = ""

    def row(self, key: str) -> Row:
        """Return a row by what the code calls it."""
        return next(row for row in self.rows if row.key == key)

    def section(self, inside: str, key: str) -> str | None:
        """Return the section that a key opens inside another one (or at the top, ""), or None."""
        for name, keys in self.sections.items():
            outer = name.rpartition(".")[0]
            if squash(key) in map(squash, keys) and (inside in ("", outer)):
                return name
        return None

    def within(self, section: str) -> tuple[Row, ...]:
        """Return the rows of a section and its parts; all of them for ""."""
        inside = (row for row in self.rows if section in ("", row.section) or row.section.startswith(f"{section}."))
        return tuple(inside)

    def candidates(self, section: str, key: str) -> list[Row]:
        """Return the rows that a key may mean: by name first, then by other names, then with its section in front.

        A section's own rows go before those that may lie anywhere.
        """
        own = self._called(key, self.within(section))
        return own or (self._called(key, tuple(row for row in self.rows if row.anywhere)) if section else own)

    def _called(self, key: str, rows: tuple[Row, ...]) -> list[Row]:
        wanted = squash(key)
        named = [row for row in rows if squash(row.name) == wanted]
        also = [row for row in rows if row.is_called(wanted)]
        return named or also or [row for row in rows if self._prefixed(row, wanted)]

    def _prefixed(self, row: Row, wanted: str) -> bool:
        parts = (name for name in self.sections if row.section == name or row.section.startswith(f"{name}."))
        fronts = [squash(front) for part in parts for front in self.sections[part]]
        return any(wanted.startswith(front) and row.is_called(wanted.removeprefix(front)) for front in fronts)
