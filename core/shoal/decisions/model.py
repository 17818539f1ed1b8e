"""What people say about the clusters of a run: answers to tasks, and the changes that an answer asks for.

An **answer** is what one person said about one task ("cluster 3: keep these, move two to cluster 5, call it fish"). It comes
from a **surface**: a Label Studio project, an option of a command. An answer that is edited is a newer revision of the same
answer, one that is taken back a revision that is `deleted`; revisions are only ever added. A **version** of a run is what
becomes of its clusters and labels when the answers that count are applied. They are applied to a **base**: what was
computed, or a version that was carried from an earlier run. Each base numbers its clusters its own way, so an answer says
whose numbers it means.
"""

from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

NOISE = -1
COMPUTED = "0"
"""Name of what was computed, as a base."""

ChangeKind = Literal["keep", "move", "noise", "rename", "split", "merge", "confirm", "reject"]
Policy = Literal["latest", "majority", "ask"]

_NEEDS_TARGET = ("move", "merge", "confirm")
_NEEDS_IMAGES = ("keep", "move", "noise", "confirm", "reject")
_NEEDS_CLUSTER = ("rename", "split", "merge")


def now() -> str:
    """Return the time, ISO 8601 in UTC with milliseconds: as text it sorts by time."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Change(BaseModel):
    """One thing that an answer asks for.

    Attributes:
        kind: `keep` images where they are; `move` images to cluster `to`; make images `noise`; `rename` a cluster `label`;
            `split` a cluster: `images` are examples of what goes into a new one, named `label` where that is not empty, and
            the images that the same answer keeps are examples of what stays (without examples it falls in two halves);
            `merge` a cluster into cluster `to`; `confirm` that noise images belong to cluster `to`; `reject` the suggestion
            that they do.
        cluster: the cluster that is talked about; None where an image is.
        images: full ids.
        to: a cluster; -1 never stands here.
        label: a name as a person wrote it: hostile text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ChangeKind
    cluster: int | None = None
    images: tuple[str, ...] = ()
    to: int | None = None
    label: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind in _NEEDS_TARGET and (self.to is None or self.to < 0):
            raise ValueError(f"{self.kind} needs `to`, a cluster")
        if self.kind in _NEEDS_IMAGES and not self.images:
            raise ValueError(f"{self.kind} needs `images`")
        if self.kind in _NEEDS_CLUSTER and (self.cluster is None or self.cluster < 0):
            raise ValueError(f"{self.kind} needs `cluster`")
        if self.kind == "rename" and not self.label.strip():
            raise ValueError("rename needs `label`")
        return self


class Answer(BaseModel):
    """One revision of what somebody said about one task.

    Attributes:
        run: name of the run.
        surface: key of the surface that it came from; with `key` it names the answer for ever.
        key: the surface's own name of the answer: an annotation's number.
        at: when this revision was made, as the surface says it, ISO 8601 in UTC; (surface, key, at, deleted) names the
            revision, so that hearing of it twice is hearing of it once.
        task: what was asked about: `cluster:3`, `rescue:<id>`, `image:<id>`.
        who: the person, as the surface names them.
        deleted: whether the answer was taken back; it has no changes then.
        changes: what it asks for.
        note: what the person wrote beside it: hostile text.
        base: name of the base whose numbers of clusters it means, in `task` too; where it is empty, recording it takes the
            one that stands then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    surface: str
    key: str
    at: str
    task: str
    who: str = ""
    deleted: bool = False
    changes: tuple[Change, ...] = ()
    note: str = ""
    base: str = ""


class Surface(BaseModel):
    """A place where a run is reviewed.

    Attributes:
        key: names it for ever, in every task that is shown there.
        run: name of the run.
        kind: what is asked there: `clusters`, `rescues`, `images`; `command` for options of commands.
        place: URL of the server; empty for commands.
        remote: the server's own name of it: a project's number.
        facts: what else the surface needs to remember: a title, the hash of its configuration, ids of views.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    run: str
    kind: str
    place: str = ""
    remote: str = ""
    facts: dict[str, str] = Field(default_factory=dict)


class Version(BaseModel):
    """What a run's clusters and labels were at some time; version 0 is what was computed and is never written down.

    Attributes:
        run: name of the run.
        number: from 1 on.
        kind: `review` made of answers, `carried` made of an older run's versions.
        made: when, ISO 8601 in UTC; `by`: who asked for it; `people`: whose answers it is made of.
        undone: whether somebody went back behind it; `undone_by`, `undone_at` (empty where nobody did): who last, and when.
        base: the version that its answers were applied to: 0, or one that was carried.
        answers: revisions that were considered when it was made, those that change nothing or take an answer back too:
            (surface, key, at).
        summary: counts by kind of change, such as `{"move": 3, "rename": 1}`.
        came_from: of a carried one, the older run.
        parent: the version that stood when it was made; 0 is what was computed.
        policy: how answers of several people were settled.
        digest: of its tables; with `number` it names their folder.
        numbers: of the clusters that splits made, by what made them: the same split keeps its number for ever.
        highest: of the numbers that clusters had so far, in this run and in those that it was carried from; -1 without.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    number: int
    kind: Literal["review", "carried"] = "review"
    made: str
    by: str = ""
    people: tuple[str, ...] = ()
    undone: bool = False
    undone_by: str = ""
    undone_at: str = ""
    base: int = 0
    answers: tuple[tuple[str, str, str], ...] = ()
    summary: dict[str, int] = Field(default_factory=dict)
    came_from: str = ""
    parent: int = 0
    policy: Policy = "latest"
    digest: str = ""
    numbers: dict[str, int] = Field(default_factory=dict)
    highest: int = -1

    @property
    def name(self) -> str:
        """Number and content: what tells it from any other version of the run, also of a database that was put back."""
        return f"{self.number}-{self.digest[:12]}"

    @property
    def folder(self) -> str:
        """Path of its tables below the run's folder: two who make a version at once never share one."""
        return f"reviews/{self.name}"

    @property
    def changes(self) -> int:
        """How many changes it holds: what was kept is none."""
        return sum(number for kind, number in self.summary.items() if kind != "keep")


class Considered(BaseModel):
    """Answers that were applied and changed nothing, so that no version was made of them.

    Attributes:
        run: name of the run.
        version: number of the version that stood, and holds them from then on; 0 is what was computed.
        made: when, ISO 8601 in UTC; `by`: who asked for it.
        answers: their revisions: (surface, key, at).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    version: int
    made: str
    by: str = ""
    answers: tuple[tuple[str, str, str], ...] = ()


class Said(BaseModel):
    """What one answer asks for one subject.

    Attributes:
        surface, key, at, who, task: of the answer.
        asks: in words: `to cluster 5`, `name fish`; hostile text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    surface: str
    key: str
    at: str
    who: str
    task: str
    asks: str


class Conflict(BaseModel):
    """Answers to different tasks that exclude each other: none of them is applied.

    Attributes:
        subject: `image:<id>` or `cluster:3`.
        about: what they disagree about.
        said: the answers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    about: Literal["place", "name", "merge"]
    said: tuple[Said, ...]


class Unsettled(BaseModel):
    """What was asked for and is not applied, though nothing excludes it.

    Attributes:
        subject: `image:<id>`, `cluster:3`, or `cluster:3#0`: the first cluster that is split off from cluster 3.
        why: one sentence.
        said: the answers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    why: str
    said: tuple[Said, ...]
