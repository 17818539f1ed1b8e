"""Serves a model that was written for Label Studio's own ML backend: one instance a project and process."""

import importlib
import json
import logging
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shoal.errors import ShoalError, UsageError
from shoal_ls.model import LabelStudioMLBase, listed
from shoal_ls.service.fetching import Places
from shoal_ls.service.inbox import Kept, State
from shoal_ls.service.metrics import Metrics

MOST_PROJECTS = 100

log = logging.getLogger(__name__)


def model_class(name: str) -> type[LabelStudioMLBase]:
    """Return a class by `module:Class`; the module may lie in the working folder.

    Raises:
        UsageError: it can't be imported, or is no `LabelStudioMLBase`.
    """
    module, colon, title = name.partition(":")
    if not colon:
        raise UsageError(f"--model {name} names no class; write it as module:Class")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), title, None)
    except Exception as error:  # a module may raise anything
        raise UsageError(f"--model {name} can't be imported: {type(error).__name__}: {error}") from error
    if not isinstance(found, type) or not issubclass(found, LabelStudioMLBase):
        raise UsageError(f"--model {name} is no subclass of shoal_ls.model.LabelStudioMLBase; let it be one")
    return found


class ModelBackend:
    """Asks a ported model."""

    def __init__(self, model: type[LabelStudioMLBase], folder: Path, places: Places, metrics: Metrics) -> None:
        """Take the class; instances are made when their project is first spoken of."""
        self._class, self._folder, self._places, self._metrics = model, folder, places, metrics
        self._models: dict[str, LabelStudioMLBase] = {}
        self._making, self._asking = threading.Lock(), threading.Lock()

    def start(self) -> None:
        """Do nothing: a model needs its project's labelling configuration."""

    def stop(self) -> None:
        """Do nothing: models have no threads."""

    def versions(self) -> list[str]:
        """Return the versions of the models that are loaded."""
        return list(dict.fromkeys(model.model_version for model in self._models.values()))

    def setup(self, request: Mapping[str, Any]) -> str:
        """Load the project's model, if it is not, and return its version."""
        return self._model(request, "schema").model_version

    def predict(self, tasks: list[Any], request: Mapping[str, Any]) -> list[Any]:
        """Return one prediction a task, in order; empty ones with the reason where the model fails."""
        model = self._model(request, "label_config")
        params = request.get("params")
        context = params.get("context") if isinstance(params, Mapping) else None
        try:
            with self._asking:
                made = listed(model.predict(tasks, context=context), tasks, model.model_version)
        except Exception as error:  # a model may raise anything; Label Studio wants an answer a task
            log.error("the model failed", exc_info=error)
            said = str(error) if isinstance(error, ShoalError) else f"the model failed: {type(error).__name__}"
            made = [{"result": [], "score": 0, "model_version": model.model_version, "reason": said}] * len(tasks)
            self._metrics.predictions.labels("none").inc(len(tasks))
            return made
        self._metrics.predictions.labels("live").inc(len(tasks))
        return made

    def handle(self, found: Sequence[Kept]) -> dict[int, State]:
        """Let models learn from events; one that fails on an event is not told of it again."""
        return {kept.number: self._fit(kept) for kept in found}

    def _fit(self, kept: Kept) -> State:
        data = {"action": kept.event.action, **json.loads(kept.event.payload)}
        try:
            self._model({"project": kept.event.project, **data["project"]}, "label_config").fit(kept.event.action, data)
        except Exception as error:  # a model may raise anything
            log.error("the model could not learn from an event", exc_info=error)
            return "left"
        return "recorded"

    def _model(self, request: Mapping[str, Any], config_key: str) -> LabelStudioMLBase:
        """Return the model of a request's project (`3` or `3.1700000000`), with its labelling configuration as it is now."""
        project = str(request.get("project") or "").partition(".")[0][:64]
        text = request.get(config_key)
        config = text if isinstance(text, str) else ""
        with self._making:
            model = self._models.get(project)
            if model is None:
                if len(self._models) >= MOST_PROJECTS:
                    raise UsageError(f"this backend serves {MOST_PROJECTS} projects already; start another for more")
                model = self._class(project, config, folder=self._folder, places=self._places)
                self._models[project] = model
                self._metrics.setups.inc()
            model.use_label_config(config)
        return model
