"""What a reviewer submitted in Label Studio, read into an answer: one function for webhooks and for polling.

Both give the same JSON, and both are hostile: people edit task data by hand, import annotations of other projects, and write
to the API with programs. Nothing here raises for a shape: what can't be read is told and changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from shoal.decisions import Answer, Change, Surface
from shoal.text import amount, plain
from shoal_ls.moments import loaded_before, moment
from shoal_ls.task_data import UNREADABLE, Buckets, ShownTask, choice, ranked, sole_text, word

LONGEST_LABEL = 200
LONGEST_NOTE = 1000
LONGEST_NAME = 200
BIGGEST_KEY = 2**63
NO_NUMBERS = (
    "not applied: somebody edited the task, so that it does not say whose numbers of clusters it shows; "
    "delete the task, and `shoal review open` makes it again"
)
OTHER_NUMBERS = (
    "not applied: the task got other numbers of clusters while somebody had it open, so nobody can tell which are meant; "
    "load it again, look and press Update, or delete the annotation and answer anew"
)


@dataclass(frozen=True)
class Reading:
    """What became of an annotation.

    Attributes:
        answer: what it says; None where it can't be told which answer it is: no number, no time, no task of shoal's.
        troubles: what it asks for that was not taken over, and why; a sentence each.
    """

    answer: Answer | None
    troubles: tuple[str, ...] = ()


def read_annotation(data: object, annotation: object, surface: Surface | None = None) -> Answer | None:
    """Return the answer that an annotation gives; None where it can't be told which answer it is.

    Args:
        data: the task's data, as Label Studio has it now.
        annotation: of a webhook, or of the API.
        surface: the project that it lies in, where that is known: it counts more than what the data say, and its facts may
            hold names of users (`user:4`).
    """
    return understand(data, annotation, surface).answer


def understand(data: object, annotation: object, surface: Surface | None = None) -> Reading:
    """Return the answer that an annotation gives, and what of it was not taken over; arguments as of `read_annotation`."""
    task = ShownTask.of(data, surface)
    if task is None:
        return Reading(None, ("the task's data don't say which task of shoal's it is",))
    if not isinstance(annotation, Mapping):
        return Reading(None, ("the annotation is no JSON object",))
    key = _key(annotation.get("id"))
    at = moment(annotation.get("updated_at")) or moment(annotation.get("created_at"))
    if not key or not at:
        return Reading(None, ("the annotation has no number or no time",))
    found = _Found()
    if not annotation.get("was_cancelled"):
        _read(task, annotation, found)
    note = plain(" | ".join([*filter(None, [found.note]), *found.troubles]), LONGEST_NOTE)
    answer = Answer(
        run=task.run, surface=task.surface, key=key, at=at, task=task.key, who=_who(annotation.get("completed_by"), surface),
        changes=tuple(found.changes), note=note, base=task.base,
    )  # fmt: skip
    return Reading(answer, tuple(found.troubles))


@dataclass
class _Found:
    """What is read so far."""

    changes: list[Change] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    note: str = ""

    def add(self, **asked: Any) -> None:
        """Add a change, or tell why there is none."""
        try:
            self.changes.append(Change(**asked))
        except ValidationError as error:
            self.troubles.append(f"not applied: {error.errors()[0]['msg'].removeprefix('Value error, ')}")


def _read(task: ShownTask, annotation: Mapping[Any, Any], found: _Found) -> None:
    """Read what the controls say, if it is known whose numbers of clusters that means."""
    if task.base == UNREADABLE:
        found.troubles.append(NO_NUMBERS)
    elif loaded_before(task.changed, annotation):
        found.troubles.append(OTHER_NUMBERS)
    else:
        _READERS[task.kind](task, _results(annotation), found)
        if not found.changes and not found.troubles:
            found.troubles.append("it answers nothing that shoal asks; was the labelling configuration changed?")


def _read_cluster(task: ShownTask, results: Mapping[str, object], found: _Found) -> None:
    verdict = choice(results.get("verdict"))
    cluster = task.cluster
    if cluster is None or cluster < 0:
        found.troubles.append("the task names no cluster; nothing was applied")
        return
    buckets = _buckets(task, results, found) if verdict or "assign" in results else Buckets()
    new = buckets.take("new")
    _place(task, buckets, found)
    label = plain(sole_text(results.get("cluster_label")), LONGEST_LABEL)
    if label and label != plain(task.label, LONGEST_LABEL):
        found.add(kind="rename", cluster=cluster, label=label)
    if new or verdict == "split":
        new_label = plain(sole_text(results.get("new_label")), LONGEST_LABEL)
        found.add(kind="split", cluster=cluster, images=new, label=new_label)
    if verdict == "merge":
        to = _chosen(task, results.get("merge_into"), "the cluster to merge into", found)
        if to is not None and to != cluster:
            found.add(kind="merge", cluster=cluster, to=to)


def _buckets(task: ShownTask, results: Mapping[str, object], found: _Found) -> Buckets:
    """Return which images lie in which bucket: those that are shown, each once; told is what does not fit."""
    if "assign" not in results:
        return Buckets({"keep": task.shown})
    buckets, troubles = ranked(results["assign"], task.shown)
    found.troubles.extend(troubles)
    return buckets


def _place(task: ShownTask, buckets: Buckets, found: _Found) -> None:
    """Say where the images of the buckets go; those of a bucket that names no cluster stay."""
    keep = list(buckets.take("keep"))
    moves: list[tuple[tuple[str, ...], int]] = []
    for name in ("alt1", "alt2"):
        images, to = buckets.take(name), task.numbers.get(name)
        if images and (to is None or to < 0):
            found.troubles.append(f"the task has no cluster for bucket {name}; {_stay(images)}")
        if to is None or to < 0 or to == task.cluster:
            keep.extend(images)
        elif images:
            moves.append((images, to))
    noise = buckets.take("noise")
    for name, images in buckets.left().items():
        found.troubles.append(f"bucket {word(name)} is unknown; {_stay(images)}")
        keep.extend(images)
    if keep:
        found.add(kind="keep", cluster=task.cluster, images=tuple(keep))
    for images, to in moves:
        found.add(kind="move", cluster=task.cluster, images=images, to=to)
    if noise:
        found.add(kind="noise", cluster=task.cluster, images=noise)


def _stay(images: Sequence[str]) -> str:
    return f"its {amount(len(images), 'image stays', 'images stay')}"


def _read_rescue(task: ShownTask, results: Mapping[str, object], found: _Found) -> None:
    answer = choice(results.get("rescue"))
    suggested = task.numbers.get("suggested")
    if answer == "confirm":
        found.add(kind="confirm", images=(task.subject,), to=suggested)
    elif answer == "reject":
        found.add(kind="reject", images=(task.subject,), to=suggested)
    elif answer == "other":
        to = _chosen(task, results.get("other_cluster"), "the other cluster", found)
        if to is not None:
            found.add(kind="confirm", images=(task.subject,), to=to)
    else:
        found.troubles.append("neither confirmed nor rejected")


def _read_image(task: ShownTask, results: Mapping[str, object], found: _Found) -> None:
    found.note = plain(sole_text(results.get("note")), LONGEST_NOTE)
    to = _chosen(task, results.get("cls"), "the cluster of the image", found)
    if to is None:
        return
    if to < 0:
        found.add(kind="noise", images=(task.subject,))
    elif to == task.cluster:
        found.add(kind="keep", images=(task.subject,), cluster=to)
    else:
        found.add(kind="move", images=(task.subject,), to=to, cluster=task.cluster)


_READERS = {"cluster": _read_cluster, "rescue": _read_rescue, "image": _read_image}


def _chosen(task: ShownTask, result: object, what: str, found: _Found) -> int | None:
    """Return the number of the cluster that was chosen among the candidates, -1 for noise; None where it is none of them."""
    value = choice(result)
    if value in task.candidates:
        return task.candidates[value]
    found.troubles.append(f"{what} is not chosen" if not value else f"{what}, {word(value)}, is not among those offered")
    return None


def _results(annotation: Mapping[Any, Any]) -> dict[str, object]:
    """Return the value of each control by its name; the last where one speaks twice."""
    items = annotation.get("result")
    values: dict[str, object] = {}
    for item in items if isinstance(items, list) else ():
        if isinstance(item, Mapping) and isinstance(item.get("from_name"), str) and isinstance(item.get("value"), Mapping):
            values[item["from_name"]] = item["value"]
    return values


def _key(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if 0 <= value < BIGGEST_KEY else ""
    return value if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else ""


def _who(value: object, surface: Surface | None) -> str:
    """Return who submitted it: the name of the user, where the surface knows it or the annotation says it.

    Webhooks and lists give a number. Both ways have to name a person alike, or one person counts as two.
    """
    if isinstance(value, Mapping):
        names = (value.get("email"), value.get("username"))
        named = next((name for name in names if isinstance(name, str) and name.strip()), None)
        return plain(named, LONGEST_NAME) if named else _who(value.get("id"), surface)
    number = f"user:{_key(value)}" if _key(value) else ""
    return plain(surface.facts.get(number, number), LONGEST_NAME) if surface else number
