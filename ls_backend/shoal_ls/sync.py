"""Asks Label Studio what reviewers said and makes the database of decisions agree: webhooks come at most once.

What is read is recorded as webhooks record it, so hearing of it both ways is hearing of it once. An answer is taken back
only where its annotation is gone while its task is there: a project or a task that was removed takes nothing back, and a
server that does not answer says nothing at all.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shoal.catalogue import Run
from shoal.decisions import Answer, Decisions, Surface, now
from shoal.runner import Progress, Silent
from shoal_ls.annotations import understand
from shoal_ls.client import Server
from shoal_ls.errors import Gone, ServerError
from shoal_ls.moments import moment
from shoal_ls.people import learn_names
from shoal_ls.task_data import meta_of

BATCH = 500
PASSES = 3
"""How often a project is read where people remove things meanwhile: tasks then move to pages that were read already."""


@dataclass(frozen=True)
class Trouble:
    """An annotation that was not taken over as it stands.

    Attributes:
        project, task, annotation: Label Studio's numbers.
        told: what is wrong with it, a sentence each.
    """

    project: str
    task: int | str
    annotation: int | str
    told: tuple[str, ...]

    def __str__(self) -> str:
        """Return it as a line for people."""
        return f"project {self.project}, task {self.task}, annotation {self.annotation}: {'; '.join(self.told)}"


@dataclass
class Synced:
    """What came of asking.

    Attributes:
        read: annotations that were read.
        new: answers and edits of answers that were news.
        deleted: answers that were taken back.
        unreadable: annotations that nobody can tell the meaning of.
        partly: annotations of which something was not taken over.
        kept: why answers stay whose annotations are gone; a sentence for each task.
        gone: why a project could not be read to its end; a sentence each. Nothing of it is taken back.
    """

    read: int = 0
    new: int = 0
    deleted: int = 0
    unreadable: list[Trouble] = field(default_factory=list)
    partly: list[Trouble] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    @property
    def news(self) -> bool:
        """Whether anything changed."""
        return bool(self.new or self.deleted)

    def facts(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def places(run: Run, decisions: Decisions) -> list[str]:
    """Return the addresses of the servers on which a run is reviewed."""
    return sorted({surface.place for surface in decisions.surfaces(run.id) if surface.place and surface.remote})


def sync(
    run: Run, server: Server, decisions: Decisions, progress: Progress | None = None, synced: Synced | None = None
) -> Synced:
    """Record what a server's projects say about a run; doing it again changes nothing.

    Args:
        run: the run.
        server: that projects of the run lie on; those on other servers are left alone.
        decisions: where answers are recorded.
        progress: hears how far it is, a step a project.
        synced: what came of other servers; this one is added to it.
    """
    told = synced or Synced()
    surfaces = [one for one in decisions.surfaces(run.id) if one.remote and one.place.rstrip("/") == server.url]
    for surface in surfaces:
        try:
            _Project(server, learn_names(surface, server, decisions), decisions, told).read(progress or Silent())
        except Gone as error:
            if not _replaced(surface, surfaces):
                told.gone.append(f"{error}; what was decided there stays; `shoal review open` makes it anew")
        except ServerError as error:
            told.gone.append(str(error))
    told.gone = list(dict.fromkeys(told.gone))  # a server that does not answer says so of each of its projects
    return told


def _replaced(surface: Surface, surfaces: Iterable[Surface]) -> bool:
    """Tell whether a newer project asks the same: that this one is gone is known then."""
    return any(one.kind == surface.kind and int(one.remote) > int(surface.remote) for one in surfaces)


class _Project:
    """A project that is read."""

    def __init__(self, server: Server, surface: Surface, decisions: Decisions, synced: Synced) -> None:
        self.server, self.surface, self.decisions, self.synced = server, surface, decisions, synced
        self.number = int(surface.remote)
        self.seen: set[str] = set()

    def read(self, progress: Progress) -> None:
        """Record what is there, then look for what is there no more.

        Raises:
            ServerError: the server stopped answering; what was read until then is recorded.
        """
        step, before = f"project {self.number}", self.synced.new
        progress.start(step, self._there("num_tasks_with_annotations"))
        self._record(progress, step)
        for _ in range(PASSES - 1):
            if len(self.seen) >= self._there("total_annotations_number", "skipped_annotations_number"):
                break
            self._record(Silent(), step)
        self._take_back()
        progress.finish(step, f"{self.synced.new - before:,} new")

    def _there(self, *counts: str) -> int:
        found = self.server.project(self.number)
        return sum(int(found.get(name) or 0) for name in counts)

    def _record(self, progress: Progress, step: str) -> None:
        for batch in _batches(self._answers(progress, step), BATCH):
            self.synced.new += self.decisions.record(batch)

    def _answers(self, progress: Progress, step: str) -> Iterator[Answer]:
        last = {one.key: one for one in self.decisions.revisions(self.surface.run) if one.surface == self.surface.key}
        for task in self.server.tasks(self.number, answered=True):
            for annotation in task.get("annotations") or ():
                key = str(annotation.get("id"))
                answer = None if key in self.seen else self._answer(task, annotation)
                self.seen.add(key)
                if answer is not None:
                    yield _said_again(answer, last.get(key))
            progress.advance(step, 1)

    def _answer(self, task: dict[str, Any], annotation: dict[str, Any]) -> Answer | None:
        reading = understand(task.get("data"), annotation, self.surface)
        self.synced.read += 1
        if reading.troubles:
            trouble = Trouble(self.surface.remote, task.get("id", ""), annotation.get("id", ""), reading.troubles)
            (self.synced.partly if reading.answer else self.synced.unreadable).append(trouble)
        return reading.answer

    def _take_back(self) -> None:
        """Take back the answers whose annotations are gone.

        Tasks may move from page to page while they are read, so each annotation that was not seen is asked for by itself;
        and at the end the project, as with it everything in it would be gone.
        """
        known = [answer for answer in self.decisions.answers(self.surface.run) if answer.surface == self.surface.key]
        missing = [answer for answer in known if answer.key not in self.seen and self._is_gone(answer)]
        if not missing:
            return
        made = {_name(meta_of(task)): task for task in self.server.task_list(self.number)}
        self.server.project(self.number)
        gone = [answer for answer in missing if _was_answered(_task_of(answer, made), answer)]
        self.synced.kept += [
            f"task {one.task} was removed from project {self.number}; what {one.who or 'somebody'} decided there stays"
            for one in missing
            if one not in gone
        ]
        self.synced.deleted += self.decisions.record(_taken_back(answer) for answer in gone)

    def _is_gone(self, answer: Answer) -> bool:
        try:
            self.server.annotation(int(answer.key))
        except Gone:
            return True
        return False


def _name(meta: Mapping[str, Any]) -> tuple[str, str]:
    """Return which task it is, in the numbers of which base; of an older shoal's task that is empty."""
    return str(meta.get("shoal_task")), str(meta.get("shoal_base") or "")


def _task_of(answer: Answer, made: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any] | None:
    return made.get((answer.task, answer.base)) or made.get((answer.task, ""))


def _was_answered(task: dict[str, Any] | None, answer: Answer) -> bool:
    """Tell whether a task is the one that an answer was given to: one that was removed may have been made again since."""
    return task is not None and moment(task.get("created_at")) <= answer.at


def _said_again(answer: Answer, last: Answer | None) -> Answer:
    """Return an answer, newer than its own deletion where its annotation is there again (a database that was put back)."""
    if last is None or not last.deleted or last.at < answer.at:
        return answer
    later = datetime.fromisoformat(last.at) + timedelta(milliseconds=1)
    return answer.model_copy(update={"at": moment(later.isoformat())})


def _taken_back(answer: Answer) -> Answer:
    """Return the revision that takes an answer back; clocks of two machines differ, and it comes last."""
    return answer.model_copy(update={"at": max(now(), answer.at), "deleted": True, "changes": (), "note": ""})


def _batches(answers: Iterable[Answer], size: int) -> Iterator[list[Answer]]:
    batch: list[Answer] = []
    for answer in answers:
        batch.append(answer)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
