"""The base class of models that were written for Label Studio's own ML backend (2.x): they run here almost unchanged.

Change the imports: `LabelStudioMLBase` and `ModelResponse` come from `shoal_ls.model`. What differs: an instance lives as
long as the process and serves one project, so `setup` runs once, not for every request; `fit` hears each annotation at least
once, from a durable inbox, in a thread of its own; files are fetched from allowed places only.

Source: the methods and their order of arguments are those of label-studio-ml 2.x; the code is shoal's.
"""

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from shoal.errors import UsageError
from shoal.store import Folder
from shoal_ls.service.controls import NONE, Config, Control, read_config
from shoal_ls.service.fetching import Places

VERSION_KEY = "model_version"
NOWHERE = Places()


class PredictionValue(BaseModel):
    """One prediction for one task.

    Attributes:
        result: regions, as Label Studio takes them.
        score: confidence.
        model_version: of the model; None takes that of the response.
    """

    model_config = ConfigDict(protected_namespaces=())

    result: list[Any]
    score: float | None = 0.0
    model_version: str | None = None


class ModelResponse(BaseModel):
    """Predictions for the tasks that were asked about, in order; several for one task stand in a list."""

    model_config = ConfigDict(protected_namespaces=())

    predictions: list[PredictionValue | list[PredictionValue]]
    model_version: str | None = None


class Tag:
    """A control of the labelling configuration.

    Attributes:
        name, to_name: as the configuration says.
        labels: what it offers.
    """

    def __init__(self, control: Control) -> None:
        """Take the control."""
        self.name, self.to_name, self.labels = control.name, [control.to_name], list(control.choices)


class LabelInterface:
    """What models ask of a labelling configuration."""

    def __init__(self, config: Config) -> None:
        """Take the controls."""
        self._config = config

    def get_first_tag_occurence(
        self, control_type: str | tuple[str, ...], object_type: str | tuple[str, ...]
    ) -> tuple[str, str, str]:
        """Return the first control of a type that speaks of an object of a type: its name, the object, the key of its data.

        Raises:
            UsageError: the configuration has none.
        """
        found = self._config.first(control_type, object_type)
        if found is None:
            raise UsageError(f"the labelling configuration has no {control_type} for a {object_type}; this model needs one")
        return found.name, found.to_name, self._config.objects[found.to_name][1]

    def get_tag(self, name: str) -> Tag:
        """Return a control by its name.

        Raises:
            UsageError: the configuration has none of that name.
        """
        if name not in self._config.controls:
            raise UsageError(f"the labelling configuration has no control {name!r}; this model needs one")
        return Tag(self._config.controls[name])

    get_control = get_tag


class LabelStudioMLBase:
    """A model that Label Studio asks for predictions. Override `setup`, `predict` and, to learn, `fit`.

    Attributes:
        project_id: number of the project that this instance serves.
        label_interface: its labelling configuration.
    """

    INITIAL_MODEL_VERSION = "0.0.1"

    def __init__(
        self, project_id: str | None = None, label_config: str | None = None, *, folder: Path, places: Places = NOWHERE
    ) -> None:  # fmt: skip
        """Take a project and call `setup`.

        Args:
            project_id: number of the project.
            label_config: its labelling configuration.
            folder: where `set` keeps values and fetched files lie.
            places: where `get_local_path` may read from.
        """
        self.project_id = project_id or ""
        self._folder, self._places, self._lock = folder, places, threading.Lock()
        self._values: dict[str, str] = self._kept()
        self.label_config = ""
        self.label_interface = LabelInterface(NONE)
        self.use_label_config(label_config or "")
        if not self.has(VERSION_KEY):
            self.set(VERSION_KEY, self.INITIAL_MODEL_VERSION)
        self.setup()

    def setup(self) -> None:
        """Load weights, and name the model: `self.set("model_version", ...)`. Runs once for each project of a process."""

    def predict(self, tasks: list[dict[str, Any]], context: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        """Return a `ModelResponse`, or a list of one prediction (`result`, `score`) a task.

        Args:
            tasks: as Label Studio sends them.
            context: of an interactive request.
            kwargs: others that Label Studio may send one day.
        """
        raise NotImplementedError(f"{type(self).__name__} makes no predictions; override predict")

    def fit(self, event: str, data: dict[str, Any], **kwargs: Any) -> Any:
        """Learn from an event such as ANNOTATION_CREATED, whose payload is `data`; heard at least once.

        It runs in another thread than `predict`: put new weights in place in one assignment.
        """

    def use_label_config(self, label_config: str) -> None:
        """Take a labelling configuration, where it is another one."""
        if label_config and label_config != self.label_config:
            self.label_config = label_config
            self.label_interface = LabelInterface(read_config(label_config))

    def get(self, key: str) -> str | None:
        """Return a value that was set, by this process or an earlier one; None where none was."""
        return self._values.get(key)

    def set(self, key: str, value: str) -> None:
        """Keep a value for this project."""
        with self._lock:
            self._values[key] = value
            Folder(str(self._folder)).write_json(self._file, self._values)

    def has(self, key: str) -> bool:
        """Tell whether a value was set."""
        return key in self._values

    @property
    def model_version(self) -> str:
        """Version that predictions carry."""
        return self._values.get(VERSION_KEY, self.INITIAL_MODEL_VERSION)

    def get_local_path(self, url: str, task_id: int | None = None) -> str:
        """Return the path of a file with what an address of a task holds; fetched once.

        Raises:
            ImageError: it lies where nothing may be read from, or can't be read.
        """
        name = hashlib.sha256(url.encode()).hexdigest()[:32] + Path(urlsplit(url).path).suffix[:8]
        cache = self._folder / "files"
        if not (cache / name).exists():
            Folder(str(cache)).write(name, self._places.read(url))
        return str(cache / name)

    def preload_task_data(self, task: Mapping[str, Any], value: Any = None) -> Any:
        """Return a value of a task's data, with the text of the file in place of an address."""
        value = task["data"] if value is None else value
        if isinstance(value, Mapping):
            return {name: self.preload_task_data(task, inner) for name, inner in value.items()}
        if isinstance(value, str) and value.startswith(("http://", "https://", "/data/", "s3://")):
            return Path(self.get_local_path(value)).read_text(encoding="utf-8")
        return [self.preload_task_data(task, inner) for inner in value] if isinstance(value, list) else value

    @property
    def _file(self) -> str:
        return f"project-{hashlib.sha256(self.project_id.encode()).hexdigest()[:16]}.json"

    def _kept(self) -> dict[str, str]:
        folder = Folder(str(self._folder))
        found = folder.read_json(self._file) if folder.exists(self._file) else {}
        return json_texts(found)


def json_texts(value: object) -> dict[str, str]:
    """Return the entries of a JSON object as texts."""
    entries = value.items() if isinstance(value, dict) else ()
    return {str(name): inner if isinstance(inner, str) else json.dumps(inner) for name, inner in entries}


def listed(response: Any, tasks: Sequence[Any], version: str) -> list[Any]:
    """Return what a model's `predict` gave as a prediction (or a list of them) a task, each with a version.

    Raises:
        UsageError: the model gave another number of predictions than there are tasks.
    """
    if isinstance(response, ModelResponse):
        version = response.model_version or version
        response = [
            each.model_dump() if isinstance(each, BaseModel) else [one.model_dump() for one in each]
            for each in response.predictions
        ]
    if isinstance(response, Mapping):
        response = response.get("predictions", [])
    found = [each.model_dump() if isinstance(each, BaseModel) else each for each in response or ()]
    if len(found) != len(tasks):
        raise UsageError(
            f"the model gave {len(found)} predictions for {len(tasks)} tasks; it must give one a task, in order"
        )
    return [[_whole(one, version) for one in each] if isinstance(each, list) else _whole(each, version) for each in found]


def _whole(prediction: Any, version: str) -> dict[str, Any]:
    """Return a prediction with all that Label Studio wants, as plain JSON values."""
    known = dict(prediction) if isinstance(prediction, Mapping) else {}
    made = {**known, "result": known.get("result") or [], "score": known.get("score") or 0.0}
    made["model_version"] = str(known.get("model_version") or version)
    plain: dict[str, Any] = json.loads(json.dumps(made, default=_plain, allow_nan=False))
    return plain


def _plain(value: Any) -> Any:
    """Return a number or array of numpy as Python has it."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return value.model_dump() if isinstance(value, BaseModel) else str(value)
