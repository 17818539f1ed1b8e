"""What is written down of a run: plain facts that the report, the catalogue and the tracking plugins read."""

from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["running", "done", "failed"]
State = Literal["ok", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """One thing that `shoal doctor` looked at: `state` is ok, note (works, could be better) or bad (mend it)."""

    check: str
    state: State
    found: str
    mend: str = ""


class StepRecord(BaseModel):
    """How one step went.

    Attributes:
        step: name of the step; `stage` is its `kind.name`.
        fingerprint: of the stage, with the fingerprints of what it consumes.
        digest: of what a table stage saw, with the number of the answer; empty for a map stage.
        key, columns: what its table has; `sources`: step by consumed column.
        where: `cached`, `in process`, `ray` (a table stage) or `ray: 2 x 1 cpu` (workers of a map stage).
        backend: what did the work, as the stage noted it.
        seconds: wall time; steps that share one pass over the images share its seconds.
        part: whether it is done for some of the images only; the run's folder says which.
        nodes: rows by name of the node that computed them; empty in process.
        faults: times by kind of what befell its workers (`worker died`, `worker lost`, `out of memory`, `data lost`,
            `storage error`, `slow worker`); `retried`: pieces of work that were given out again for it.
        rows: rows that it answers for; `computed` of them now, `cached` from before, `failed` with a reason.
    """

    model_config = ConfigDict(extra="forbid")

    step: str
    stage: str
    version: str
    options: dict[str, Any] = Field(default_factory=dict)
    fingerprint: str = ""
    digest: str = ""
    key: str = "id"
    columns: list[str] = Field(default_factory=list)
    sources: dict[str, str] = Field(default_factory=dict)
    part: bool = False
    where: str = "cached"
    backend: str = ""
    notes: dict[str, Any] = Field(default_factory=dict)
    nodes: dict[str, int] = Field(default_factory=dict)
    faults: dict[str, int] = Field(default_factory=dict)
    retried: int = 0
    seconds: float = 0.0
    rows: int = 0
    computed: int = 0
    cached: int = 0
    failed: int = 0

    @property
    def rate(self) -> float:
        """Rows computed a second; 0 where nothing was."""
        return self.computed / self.seconds if self.seconds and self.computed else 0.0

    @property
    def metrics(self) -> dict[str, float]:
        """Figures that an evaluator noted, those that are finite numbers."""
        noted = self.notes.get("metrics")
        found = noted.items() if isinstance(noted, dict) else ()
        return {str(name): float(value) for name, value in found if isinstance(value, int | float) and isfinite(value)}


class RunRecord(BaseModel):
    """How a run went; `run.json` of its folder.

    Attributes:
        seconds: wall time of the run until its last row was there; `startup` of it went into starting or joining Ray.
        files, accepted, rejected: numbers of files: accepted + rejected == files.
        images: distinct images among the accepted files.
        tuning: of a tuning's candidate, or of the tuning itself (then also `id`): the name of the tuning; else empty.
        scores: figures that a tuning gives: score, modularity, stability.
        process: `host:pid` of the driver: a run that says it is running and whose process is gone was killed.
        job: id of the Ray job that it is, where it is one.
        commit: git commit of the code, where it runs from a checkout.
        versions: of shoal, Python and the libraries that matter.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    pipeline: str
    source: str
    status: Status = "running"
    error: str = ""
    started: str
    seconds: float = 0.0
    startup: float = 0.0
    files: int = 0
    accepted: int = 0
    rejected: int = 0
    images: int = 0
    clusters: int = 0
    noise: int = 0
    tuning: str = ""
    scores: dict[str, float] = Field(default_factory=dict)
    steps: list[StepRecord] = Field(default_factory=list)
    process: str = ""
    job: str = ""
    commit: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    hook_errors: list[str] = Field(default_factory=list)

    def step(self, name: str) -> StepRecord | None:
        """Return the record of a step."""
        return next((step for step in self.steps if step.step == name), None)


def clustering(record: RunRecord) -> str | None:
    """Return the step whose clusters are the run's: the one that the last labels name, else the last one; None without.

    A step of kind `cluster` that is not in the record was not done.
    """
    labelled = [step.sources["cluster"] for step in record.steps if step.stage.startswith("label.")]
    made = [step.step for step in record.steps if step.stage.startswith("cluster.")]
    found = labelled or made
    return found[-1] if found else None


def labelling(record: RunRecord) -> str | None:
    """Return the step that names the run's clusters; None where none did."""
    made = [step.step for step in record.steps if step.stage.startswith("label.")]
    return made[-1] if made else None


def rescuing(record: RunRecord) -> str | None:
    """Return the step that suggests clusters for the run's noise; None where none did.

    Only suggestions for the run's own clusters count: a pipeline may have more than one clusterer.
    """
    made = [step for step in record.steps if step.stage.startswith("rescue.")]
    own = clustering(record)
    return next((step.step for step in reversed(made) if step.sources.get("cluster") == own), None)


class RunView(BaseModel):
    """What hooks see of a run.

    Attributes:
        id: of the run.
        folder: path or URI of the run's files; `store`: of the folder that holds the runs.
        record: as it stands.
        artefacts: paths of files worth keeping: the report, the pipeline that was run.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    folder: str
    store: str
    record: RunRecord
    artefacts: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """`running`, `done` or `failed`."""
        return self.record.status
