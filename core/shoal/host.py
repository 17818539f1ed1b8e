"""The host: finds plugins, guards their imports, and answers which stages there are."""

import importlib
import inspect
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import pluggy

from shoal import hooks
from shoal.builtins import BUILTINS, COMMANDS
from shoal.contract import Stage
from shoal.errors import PluginError, UsageError

GROUP = "shoal"
ALLOW_VARIABLE = "SHOAL_PLUGINS"


@dataclass(frozen=True)
class Broken:
    """A plugin that could not be imported.

    Attributes:
        name: entry point or module name.
        distribution: `name version` of its package, empty for a built-in.
        reason: one sentence.
    """

    name: str
    distribution: str
    reason: str


@dataclass(frozen=True)
class Plugin:
    """A plugin that is loaded: the name of its module and of its package (empty for a built-in)."""

    name: str
    module: str
    distribution: str


class Host:
    """Loads the built-ins, then the packages in the entry point group `shoal`.

    Args:
        builtins: modules to load first.
        allow: names of entry points that may be imported; None takes `SHOAL_PLUGINS` (comma-separated; unset: all).

    Raises:
        PluginError: an abstract stage class, two stages of one kind and name, or a hook that shoal does not know.
    """

    def __init__(self, builtins: Iterable[str] = (*BUILTINS, *COMMANDS), allow: Iterable[str] | None = None) -> None:
        """Load every plugin; what can't be imported goes to `broken`."""
        self.manager = pluggy.PluginManager(hooks.PROJECT)
        self.manager.add_hookspecs(hooks)
        self.broken: list[Broken] = []
        self.plugins: list[Plugin] = []
        self._stages: list[tuple[object, list[Any]]] = []
        for module in builtins:
            self._load(module, "", partial(importlib.import_module, module))
        for entry in _entry_points(allow):
            distribution = f"{entry.dist.name} {entry.dist.version}" if entry.dist else ""
            self._load(entry.name, distribution, entry.load)
        self._check_hooks()
        self.stages = self._collect()

    def _load(self, name: str, distribution: str, load: Callable[[], Any]) -> None:
        """Import a plugin and hear which stages it adds; whatever its code raises puts it among the broken ones."""
        try:
            module = load()
            said = self.manager.parse_hookimpl_opts(module, "shoal_stages")  # None where it is not marked as a hook
            stages = list(module.shoal_stages()) if said is not None else []
        except (Exception, SystemExit) as error:  # a third-party import may raise anything
            self.broken.append(Broken(name, distribution, _first_line(error)))
            return
        try:
            self.manager.register(module, name=name)
        except (pluggy.PluginValidationError, ValueError) as error:  # ValueError: registered twice
            raise PluginError(f"plugin {name!r} ({_where(module)}): {_first_line(error)}") from error
        self.plugins.append(Plugin(name, getattr(module, "__name__", repr(module)), distribution))
        self._stages.append((module, stages))

    def _check_hooks(self) -> None:
        known = [name for name in vars(hooks) if name.startswith("shoal_")]
        for name, plugin in self.manager.list_name_plugin():
            for attribute in dir(plugin):
                if not attribute.startswith("shoal_") or not inspect.isfunction(getattr(plugin, attribute)):
                    continue
                if attribute not in known:
                    near = get_close_matches(attribute, known, n=1)
                    hint = f"; did you mean {near[0]}?" if near else f"; hooks are {', '.join(known)}"
                    raise PluginError(f"plugin {name!r} ({_where(plugin)}) implements the unknown hook {attribute}{hint}")
        try:
            self.manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(str(error)) from error

    def _collect(self) -> dict[tuple[str, str], type[Stage]]:
        found: dict[tuple[str, str], type[Stage]] = {}
        for module, stages in self._stages:
            for stage in stages:
                _check_class(stage, _where(module))
                key = (stage.kind, stage.name)
                if key in found and found[key] is not stage:
                    raise PluginError(
                        f"two plugins define {stage.kind}.{stage.name}: {found[key].__module__} and {stage.__module__}; "
                        f"rename one, or leave its package out of {ALLOW_VARIABLE}"
                    )
                found[key] = stage
        return dict(sorted(found.items()))

    def stage(self, title: str) -> type[Stage]:
        """Return the stage class that a pipeline file calls `kind.name`.

        Raises:
            UsageError: there is none; the message names the nearest spelling, and a broken plugin if there is one.
        """
        kind, _, name = title.partition(".")
        if (kind, name) in self.stages:
            return self.stages[kind, name]
        titles = [f"{kind}.{name}" for kind, name in self.stages]
        near = get_close_matches(title, titles, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "`shoal stages` lists all"
        broken = f" (plugins that could not be loaded: {', '.join(b.name for b in self.broken)})" if self.broken else ""
        raise UsageError(f"there is no stage {title!r}; {hint}{broken}")


def _entry_points(allow: Iterable[str] | None) -> list[EntryPoint]:
    if allow is None:
        listed = os.environ.get(ALLOW_VARIABLE)
        allow = None if listed is None else [name.strip() for name in listed.split(",") if name.strip()]
    found = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return found if allow is None else [entry for entry in found if entry.name in set(allow)]


def _check_class(stage: object, where: str) -> None:
    if not (inspect.isclass(stage) and issubclass(stage, Stage)):
        raise PluginError(f"{where}: shoal_stages returned {stage!r}, which is no stage class")
    if inspect.isabstract(stage):
        missing = ", ".join(sorted(stage.__abstractmethods__))
        raise PluginError(f"{where}: stage {stage.__name__} is abstract; it must define {missing}")
    if stage.key == "cluster" and "cluster" not in stage.consumes.names:
        raise PluginError(f"{where}: stage {stage.__name__} answers by cluster, so it must consume the column `cluster`")
    for attribute in ("kind", "name"):
        if not isinstance(getattr(stage, attribute, None), str):
            raise PluginError(f"{where}: stage {stage.__name__} has no `{attribute}`")


def _first_line(error: BaseException) -> str:
    """Return what an exception says, in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _where(plugin: object) -> str:
    return plugin.__name__ if isinstance(plugin, ModuleType) else repr(plugin)
