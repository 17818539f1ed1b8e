"""What a webhook of Label Studio says, an event an annotation. Every key is optional, any value hostile."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shoal.decisions import now
from shoal.errors import UsageError

CREATED = ("ANNOTATION_CREATED", "ANNOTATIONS_CREATED")
UPDATED = ("ANNOTATION_UPDATED", "ANNOTATIONS_UPDATED")
DELETED = ("ANNOTATION_DELETED", "ANNOTATIONS_DELETED")
TRAIN = "START_TRAINING"

LONGEST_NAME = 64
"""Characters of a number, a time or an action that are kept; Label Studio's own are shorter."""


MOST = 128 * 2**20
"""Characters that the events of one webhook may come to: each holds its own copy of the task."""

PROJECT = ("id", "title", "label_config")
"""What is kept of a project: a webhook tells all of it, the password of its task data too."""


@dataclass(frozen=True)
class Event:
    """One annotation that was made, changed or taken back.

    Attributes:
        action: as Label Studio names it.
        project: its number of the project; empty where the webhook does not say.
        key: number of the annotation.
        at: when it was changed, as Label Studio says it; with `key` it tells a repeated event from news.
        deleted: whether the annotation is gone; nothing but its number is known then.
        payload: JSON of `annotation` and `task`, as they came, and of what `project` has of `PROJECT`.
    """

    action: str
    project: str
    key: str
    at: str
    deleted: bool
    payload: str


def parse(body: bytes) -> dict[str, Any]:
    """Return a request's JSON object.

    Raises:
        UsageError: the body is none; the message is one sentence.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageError("the body is no JSON that can be read; send an object such as Label Studio sends") from error
    if not isinstance(value, dict):
        raise UsageError("the body is JSON but no object; send an object such as Label Studio sends")
    return value


def events(payload: Mapping[str, Any]) -> list[Event]:
    """Return the events of a webhook; none where it is about other things than annotations, or says too little.

    An annotation without an `action` counts as changed: polling says which it was.
    """
    action = _name(payload.get("action"))
    project = next(iter(_objects(payload.get("project"))), {})
    if action == TRAIN:
        return [Event(action, _name(project.get("id")), "", now(), False, _payload({}, {}, project))]
    if action and action not in (*CREATED, *UPDATED, *DELETED):
        return []
    annotations = _objects(payload.get("annotation")) + _objects(payload.get("annotations"))
    tasks = _objects(payload.get("task")) + _objects(payload.get("tasks"))
    made = (
        _event(action, annotation, _task_of(annotation, place, tasks), project)
        for place, annotation in enumerate(annotations)
    )
    found, size = [], 0
    for event in made:
        if event is not None:
            found.append(event)
            size += len(event.payload)
        if size > MOST:
            raise UsageError("the webhook says too much at once; `shoal review sync` reads the rest")
    return found


def _event(action: str, annotation: Mapping[str, Any], task: Mapping[str, Any], project: Mapping[str, Any]) -> Event | None:
    key = _name(annotation.get("id"))
    if not key:
        return None
    deleted = action in DELETED
    said = (_name(annotation.get("updated_at")), _name(annotation.get("created_at")))
    where = (_name(project.get("id")), _name(annotation.get("project")), _name(task.get("project")))
    return Event(
        action=action or UPDATED[0], project=next(filter(None, where), ""), key=key,
        at="" if deleted else next(filter(None, said), ""), deleted=deleted, payload=_payload(annotation, task, project),
    )  # fmt: skip


def _task_of(annotation: Mapping[str, Any], place: int, tasks: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the task of an annotation: the one that it names, else the one at its place, else the only one."""
    own = annotation.get("task")
    if isinstance(own, Mapping):
        return own
    named = next((task for task in tasks if own is not None and task.get("id") == own), None)
    if named is not None:
        return named
    same_place = place < len(tasks) and "id" not in tasks[place]
    return tasks[place] if same_place else tasks[0] if len(tasks) == 1 and own is None else {}


def _objects(value: object) -> list[Mapping[str, Any]]:
    listed = value if isinstance(value, list) else [value]
    return [item for item in listed if isinstance(item, Mapping)]


def _payload(annotation: Mapping[str, Any], task: Mapping[str, Any], project: Mapping[str, Any]) -> str:
    known = {name: project[name] for name in PROJECT if name in project}  # not its password for task data
    return json.dumps({"annotation": annotation, "task": task, "project": known})


def _name(value: object) -> str:
    """Return a number or a short text as text; empty for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return ""
    if isinstance(value, int):
        return str(value) if 0 <= value < 2**63 else ""
    return value if len(value) <= LONGEST_NAME and value.isprintable() else ""
