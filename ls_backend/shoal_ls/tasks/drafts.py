"""A task before it is sent."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from shoal_ls.task_data import CHANGED

Json = dict[str, Any]


@dataclass(frozen=True)
class TaskDraft:
    """What a task shows and what is proposed.

    Attributes:
        key: `cluster:3`, `rescue:<id>`, `image:<id>`.
        data: flat, so that the Data Manager has a column for each; without names of run and surface.
        result: the prediction, as an annotation would say it.
        score: confidence, 0 to 1: Label Studio serves the lowest first.
    """

    key: str
    data: Json
    result: tuple[Json, ...]
    score: float

    @property
    def digest(self) -> str:
        """Hash of what is shown and proposed; the score is neither."""
        text = json.dumps([self.data, self.result], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def task(self, surface: str, run: str, base: str, changed: str = "") -> Json:
        """Return the task as it is imported; `meta` has what tells it apart, so that a list of tasks is short.

        Args:
            surface: key of the project.
            run: name of the run.
            base: whose numbers of clusters it shows.
            changed: when it got these numbers; empty: it is made with them.
        """
        names = {"shoal_task": self.key, "shoal_digest": self.digest, "shoal_base": base}
        names |= {CHANGED: changed} if changed else {}
        return {"data": {**self.data, "shoal_surface": surface, "shoal_run": run, **names}, "meta": names}

    def prediction(self, number: int, version: str) -> Json:
        """Return the prediction of the task that has a number, as it is imported."""
        return {"task": number, "result": list(self.result), "score": self.score, "model_version": version}


def chosen(name: str, target: str, value: str) -> Json:
    """Return the choice of one value."""
    return {"from_name": name, "to_name": target, "type": "choices", "value": {"choices": [value]}}
