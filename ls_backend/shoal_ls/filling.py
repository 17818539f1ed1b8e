"""Brings the tasks of a project up to date: new ones are added, unanswered ones may change, answered ones stay."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shoal.decisions import Surface
from shoal_ls.client import BATCH, Server
from shoal_ls.present import Before, present
from shoal_ls.task_data import meta_of
from shoal_ls.tasks import TaskDraft

Json = dict[str, Any]
Told = Callable[[int], object]


@dataclass(frozen=True)
class Filled:
    """What became of a project's tasks.

    Attributes:
        created: tasks that are new there.
        updated: unanswered ones that showed something else.
        answered: that somebody answered (or skipped); they stay as they are.
        unchanged: the others.
        spare: tasks there that are not asked any more; they stay.
        predictions: that were written.
    """

    created: int = 0
    updated: int = 0
    answered: int = 0
    unchanged: int = 0
    spare: int = 0
    predictions: int = 0

    @property
    def total(self) -> int:
        """Tasks that are asked."""
        return self.created + self.updated + self.answered + self.unchanged


def fill(server: Server, surface: Surface, drafts: Sequence[TaskDraft], version: str, before: Before, told: Told) -> Filled:
    """Bring the tasks of a project up to date, each with a prediction of the present version.

    A call that was cut short leaves tasks without predictions at worst; the next one writes them.

    Args:
        server: Label Studio.
        surface: the project.
        drafts: what should be there.
        version: `model_version` of the predictions.
        before: what is known of the tasks that are there.
        told: hears how many tasks are done.

    Raises:
        ServerError: it did not take all; what it took stays.
    """
    project, base = int(surface.remote), before.numbers.base
    listed = (task for task in server.task_list(project) if meta_of(task))
    there, spare = present(listed, drafts, before)
    tasks = {key: one.task for key, one in there.items()}
    new = [draft for draft in drafts if draft.key not in there]
    open_ = [draft for draft in drafts if draft.key in there and not there[draft.key].answered]
    changed = [draft for draft in open_ if not there[draft.key].shows(draft, base)]
    told(len(drafts) - len(new) - len(changed))
    outdated = open_ if surface.facts.get("model_version") != version else changed
    # First: Label Studio refuses what is submitted from a prediction that is gone, so nobody answers what he does not see.
    _forget(server, project, [tasks[draft.key]["id"] for draft in outdated if tasks[draft.key]["total_predictions"]])
    for draft in changed:
        since = there[draft.key].changed(draft, base, server.time)
        server.update_task(tasks[draft.key]["id"], draft.task(surface.key, surface.run, base, since))
        told(1)
    lacking = [*outdated, *(draft for draft in open_ if draft not in outdated and not tasks[draft.key]["total_predictions"])]
    written = server.import_predictions(project, [draft.prediction(tasks[draft.key]["id"], version) for draft in lacking])
    for start in range(0, len(new), BATCH):
        part = new[start : start + BATCH]
        numbers = server.import_tasks(project, [draft.task(surface.key, surface.run, base) for draft in part])
        made = [draft.prediction(number, version) for draft, number in zip(part, numbers, strict=True)]
        written += server.import_predictions(project, made)
        told(len(part))
    answered = len(drafts) - len(new) - len(open_)
    return Filled(len(new), len(changed), answered, len(open_) - len(changed), spare, written)


def _forget(server: Server, project: int, tasks: Sequence[int]) -> None:
    """Remove the predictions of tasks: Label Studio keeps old ones beside new ones."""
    for start in range(0, len(tasks), BATCH):
        chosen = {"selectedItems": {"all": False, "included": list(tasks[start : start + BATCH])}}
        what = f"remove outdated predictions of project {project}"
        server.ask("POST", "/api/dm/actions/", what, chosen, id="delete_tasks_predictions", project=project)
