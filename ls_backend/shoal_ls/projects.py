"""Puts a run before people: projects with tasks, predictions, pictures and tabs. Repeating it adds only what is new."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from shoal.catalogue import Run
from shoal.decisions import Decisions, Surface
from shoal.decisions.standing import revision
from shoal.records import rescuing
from shoal.reviewing.bases import Numbers
from shoal.reviewing.carry import lost
from shoal.text import amount
from shoal_ls.alone import alone
from shoal_ls.client import Server
from shoal_ls.configs import check, configuration, fingerprint
from shoal_ls.connecting import BackendLogin, connect
from shoal_ls.errors import Gone
from shoal_ls.filling import Filled, fill
from shoal_ls.learning import current_head
from shoal_ls.model_version import model_version
from shoal_ls.people import learn_names
from shoal_ls.picturing import Gallery, Shown, Source, addresses, write
from shoal_ls.present import Before
from shoal_ls.progress import Progress, counted
from shoal_ls.tasks import TaskDraft, asked, asked_about, cluster_tasks, doubtful, image_tasks, master, read, rescue_tasks
from shoal_ls.views import add_views

TITLE_LENGTH = 50
"""Label Studio's own limit."""

UNCERTAINTY = "Uncertainty sampling"
"""Serves the task with the lowest score first, among those with a prediction of the project's model version."""

INSTRUCTIONS = {
    "clusters": "Is every thumbnail one of this cluster? Drag what is not to A, B, a new cluster or Noise "
    "(keyboard: Tab, Space, arrows, Space), mend the name, submit.",
    "rescues": "Does the left image belong to the cluster of the right one? 1 confirms, 2 rejects, 3 names another cluster.",
    "images": "Which cluster is the image of? Choose one, or noise.",
}
Json = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """How a run is put before people.

    Attributes:
        project: how projects are called; empty takes the pipeline and the run. One that is there is renamed.
        pictures: where browsers get pictures from.
        doubtful: single images to ask about at most.
        backend: to connect projects with.
        force: put back a labelling configuration that was changed on the server.
        head: version of the head that predictions come from; empty: the run's current one.
    """

    project: str = ""
    pictures: Source = field(default_factory=Source)
    doubtful: int = 200
    backend: BackendLogin | None = None
    force: bool = False
    head: str = ""


@dataclass(frozen=True)
class Opened:
    """What became of a project.

    Attributes:
        surface: where it is.
        url: of the project, for people.
        made: whether it is new.
        filled: what became of its tasks.
        notes: what people should know, a sentence each.
    """

    surface: Surface
    url: str
    made: bool
    filled: Filled
    notes: tuple[str, ...] = ()


def open_review(run: Run, server: Server, options: Options, progress: Progress) -> list[Opened]:
    """Create or update the projects of a run: clusters, and suggestions and doubtful images where there are any.

    Args:
        run: with clusters and thumbnails.
        server: Label Studio.
        options: how.
        progress: hears how far it is.

    Raises:
        UsageError: the run has no clusters or no thumbnails, pictures can't be shown in the way that is asked for, or
            another process is opening the run.
        ServerError: Label Studio did not do what was asked; what is done stays, and the same call goes on from there.
    """
    with alone(run):
        return _open_all(run, server, options, progress)


def _open_all(run: Run, server: Server, options: Options, progress: Progress) -> list[Opened]:
    server.version()  # before minutes of work: is it there, and is it Label Studio
    server.me  # noqa: B018  (and does it let in)
    seen, step = asked_about(run), rescuing(run.record)
    said = read(seen)
    suggestions = asked(said, seen.current(step).to_pylist() if step else [])
    suggested = [one["id"] for one in suggestions]
    singles = doubtful(said, options.doubtful, frozenset(suggested))
    alone = [*suggested, *(master(said, one["suggested"]) for one in suggestions), *singles]
    shown = [said.ids[row] for sample in said.samples.values() for row in sample.rows]
    opening = _Opening(
        run, server, options, progress, write(run, shown, alone, progress), Decisions.of(run.store),
        model_version(run, options.head or _head(run)), Numbers.shown(seen),
    )  # fmt: skip
    opened = [opening.open("clusters", lambda gallery: cluster_tasks(said, gallery.small))]
    if suggestions:
        opened.append(opening.open("rescues", lambda gallery: rescue_tasks(said, suggestions, gallery.large)))
    if singles:
        opened.append(opening.open("images", lambda gallery: image_tasks(said, singles, gallery.large)))
    if options.backend:
        for one in opened:
            connect(server, int(one.surface.remote), options.backend)
    return opened


def _head(run: Run) -> str:
    """Return the version of the head that the backend predicts with; empty without."""
    head = current_head(run.store, run.id)
    return head.version if head else ""


def _left_behind(run: Run) -> list[str]:
    """Return what people should know of what could not be carried from an earlier run."""
    count = len(lost(run))
    told = amount(count, "thing", "things")
    listed = "`shoal review status` tells which"
    return [f"{told} that people decided or named could not be carried from the earlier run; {listed}"] if count else []


@dataclass(frozen=True)
class _Opening:
    """One call of `open_review`."""

    run: Run
    server: Server
    options: Options
    progress: Progress
    shown: Shown
    decisions: Decisions
    version: str
    numbers: Numbers  # that the tasks show

    def open(self, kind: str, make: Callable[[Gallery], list[TaskDraft]]) -> Opened:
        """Create or update the project of a kind."""
        last = self._surface(kind)
        notes: list[str] = []
        surface, project = self._project(kind, last, notes)
        number = int(surface.remote)
        config, surface = self._configured(surface, project, notes)
        notes += _left_behind(self.run) if kind == "clusters" else []
        gallery = Gallery(self.shown, addresses(self.server, number, self.shown.pictures, self.options.pictures))
        drafts = make(gallery)
        check(config, drafts)
        drafts = self._not_answered_elsewhere(surface, drafts, notes)
        with counted(self.progress, f"{kind}: tasks", len(drafts)) as told:
            before = Before.of(surface, self.decisions.answers(self.run.id), self.numbers)
            filled = fill(self.server, surface, drafts, self.version, before, told)
        titles = add_views(self.server, number, kind, surface.facts.get("views", "").split("\n"))
        if drafts and project["model_version"] != self.version:  # taken only where predictions have it
            self.server.update_project(number, {"model_version": self.version})
        if filled.created and surface.facts.get("complete"):
            made_again = amount(filled.created, "task was", "tasks were")
            notes.append(f"{made_again} not there (removed by hand, or asked for since), and now made")
        facts = {"views": "\n".join(titles), "complete": "yes", "model_version": self.version}
        surface = surface.model_copy(update={"facts": {**surface.facts, **facts}})
        self.decisions.add_surface(surface)
        learn_names(surface, self.server, self.decisions)  # webhooks tell numbers of users
        made = last is None or last.key != surface.key
        return Opened(surface, f"{self.server.url}/projects/{number}/data", made, filled, tuple(notes))

    def _surface(self, kind: str) -> Surface | None:
        """Return the newest surface of a kind on this server."""
        found = [one for one in self.decisions.surfaces(self.run.id) if (one.kind, one.place) == (kind, self.server.url)]
        return max(found, key=lambda one: int(one.remote), default=None)

    def _project(self, kind: str, before: Surface | None, notes: list[str]) -> tuple[Surface, Json]:
        """Return the project of a kind and its surface; one that was deleted is made anew under another name."""
        title = f"{self.options.project or f'{self.run.record.pipeline} {self.run.id}'}"[: TITLE_LENGTH - len(kind) - 2]
        title = f"{title}: {kind}"
        if before is not None:
            try:
                project = self.server.project(int(before.remote))
            except Gone:
                notes.append(f"project {before.remote} was deleted there; its answers are kept, and another one is made")
            else:
                if self.options.project and project["title"] != title:
                    project = self.server.update_project(project["id"], {"title": title})
                return before, project
        config = configuration(kind)
        fields = {
            "title": title, "description": f"shoal: {kind} of run {self.run.id}", "label_config": config,
            "expert_instruction": INSTRUCTIONS[kind], "show_instruction": False, "sampling": UNCERTAINTY,
        }  # fmt: skip
        project = self.server.create_project(fields)
        surface = Surface(
            key=f"{kind}-{secrets.token_hex(6)}", run=self.run.id, kind=kind, place=self.server.url,
            remote=str(project["id"]), facts={"config": fingerprint(config), "title": title},
        )  # fmt: skip
        self.decisions.add_surface(surface)
        return surface, project

    def _configured(self, surface: Surface, project: Json, notes: list[str]) -> tuple[str, Surface]:
        """Return the configuration that the project has now: shoal's newest, or what people made of it."""
        wanted, there = configuration(surface.kind), project["label_config"]
        if fingerprint(there) == fingerprint(wanted):
            return wanted, surface
        if fingerprint(there) != surface.facts.get("config") and not self.options.force:
            notes.append(
                f"the labelling configuration of project {project['id']} was changed on the server and stays; "
                "`shoal review open --force` puts shoal's back"
            )
            return there, surface
        self.server.update_project(project["id"], {"label_config": wanted})
        facts = {**surface.facts, "config": fingerprint(wanted)}
        return wanted, surface.model_copy(update={"facts": facts})

    def _not_answered_elsewhere(self, surface: Surface, drafts: list[TaskDraft], notes: list[str]) -> list[TaskDraft]:
        """Return the tasks without those that were answered in a project that is gone."""
        gone = {one.key for one in self.decisions.surfaces(self.run.id) if one.kind == surface.kind} - {surface.key}
        told = self.numbers.tell(answer for answer in self.decisions.answers(self.run.id) if answer.surface in gone)
        answered = {answer.task for answer in told.answers if revision(answer) not in told.partly}
        left = [draft for draft in drafts if draft.key not in answered]
        if len(left) < len(drafts):
            elsewhere = amount(len(drafts) - len(left), "task was", "tasks were")
            notes.append(f"{elsewhere} answered in another project, and not asked again")
        return left
