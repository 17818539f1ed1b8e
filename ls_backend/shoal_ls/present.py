"""Which task of a project asks what a draft asks, also where it shows the numbers of clusters of another base."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from shoal.decisions import Answer, Surface
from shoal.decisions.standing import revision
from shoal.decisions.upgrading import BASE
from shoal.reviewing.bases import Numbers
from shoal_ls.moments import moment
from shoal_ls.task_data import CHANGED
from shoal_ls.tasks import TaskDraft

Json = dict[str, Any]
Name = tuple[str, str]
"""(base, task): a task's key is in the numbers of its base."""


@dataclass(frozen=True)
class Before:
    """What is known of the tasks of a project.

    Attributes:
        numbers: speaks the numbers of the drafts.
        heard: tasks that an answer is known to.
        partly: those of them whose answers don't carry over to these numbers as a whole.
        older: base of tasks that don't say theirs.
    """

    numbers: Numbers
    heard: frozenset[Name] = frozenset()
    partly: frozenset[Name] = frozenset()
    older: str = ""

    @classmethod
    def of(cls, surface: Surface, answers: Iterable[Answer], numbers: Numbers) -> "Before":
        """Return what answers say about the tasks of a project."""
        own = [answer for answer in answers if answer.surface == surface.key]
        partly = numbers.tell(own).partly
        return cls(
            numbers, frozenset((one.base, one.task) for one in own),
            frozenset((one.base, one.task) for one in own if revision(one) in partly), surface.facts.get(BASE, ""),
        )  # fmt: skip


@dataclass(frozen=True)
class Present:
    """A task that is there.

    Attributes:
        task: as the server lists it.
        answered: whether somebody answered or skipped it, as far as server and database know.
    """

    task: Json
    answered: bool

    def shows(self, draft: TaskDraft, base: str) -> bool:
        """Tell whether it shows what a draft shows, in the numbers of that base."""
        return (self.task["meta"].get("shoal_digest"), self.task["meta"].get("shoal_base")) == (draft.digest, base)

    def changed(self, draft: TaskDraft, base: str, now: str) -> str:
        """Return when it got the numbers that a draft shows; empty: it was made with them.

        Args:
            draft: that it is to show.
            base: whose numbers those are.
            now: the server's time.
        """
        meta = self.task["meta"]
        same = (meta.get("shoal_task"), meta.get("shoal_base")) == (draft.key, base)
        return moment(meta.get(CHANGED)) if same else now


def present(tasks: Iterable[Json], drafts: Sequence[TaskDraft], before: Before) -> tuple[dict[str, Present], int]:
    """Return the task for each draft that has one, by the draft's key, and the number of tasks that are asked no more.

    An answered task of another base stands for the draft that asks the same now, where its answers carry over; if they
    don't, the draft is asked anew. Open tasks of another base are free for whatever draft has none.
    """
    found: dict[str, Present] = {}
    older: list[tuple[Name, Present]] = []
    strange = 0
    for task in tasks:
        base, key = task["meta"].get("shoal_base") or before.older or before.numbers.base, task["meta"].get("shoal_task")
        answered = bool(task["total_annotations"] or task["cancelled_annotations"])
        if not isinstance(base, str) or not isinstance(key, str):  # somebody edited it
            strange += 1
        elif base == before.numbers.base:
            found[key] = Present(task, answered)
        else:
            older.append(((base, key), Present(task, answered or (base, key) in before.heard)))
    keys = {draft.key: draft for draft in drafts}
    left: list[Present] = []
    for (base, key), one in sorted(older, key=lambda item: not item[1].answered):
        now = None if (base, key) in before.partly else before.numbers.task(base, key)
        if now in keys and now not in found:
            found[now] = one
        else:
            left.append(one)
    free = [one for one in left if not one.answered]
    taken = dict(zip((key for key in keys if key not in found), free, strict=False))
    spare = strange + len(found.keys() - keys.keys()) + len(left) - len(taken)
    return {key: one for key, one in (found | taken).items() if key in keys}, spare
