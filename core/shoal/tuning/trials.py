"""Evaluates candidates side by side, over features that are computed once and reductions that candidates share."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from shoal.catalogue import Run
from shoal.errors import ShoalError, UsageError
from shoal.host import Host
from shoal.kinds import Embedder, Indexer, Reducer
from shoal.pipeline import Pipeline, override
from shoal.pipeline.plan import Plan, PlannedStep, is_table
from shoal.pipeline.plan import plan as make_plan
from shoal.records import RunRecord, StepRecord
from shoal.runner import Progress, RunOptions, execute
from shoal.runner.executors import Executor
from shoal.runner.imageset import ImageSet
from shoal.runner.jobs import Trouble
from shoal.runner.passes import placement, record_of
from shoal.runner.placement import Placement
from shoal.runner.rounds import table_job
from shoal.runner.state import RunState, covered_file
from shoal.runner.telling import tell
from shoal.store import Folder, Store
from shoal.tuning.score import Graph, graph, information, rand, score
from shoal.tuning.settings import Weights
from shoal.tuning.space import Value
from shoal.vectors import to_numpy

JOB_SECONDS = 0.5
"""Estimate of a reduction or clustering of a small set, to weigh whether Ray pays."""


@dataclass
class Trial:
    """A candidate and what became of it: a row of the results.

    Attributes:
        number: from 1, in the order of the search.
        phase, generation: when it was tried, from 1.
        options: what it sets.
        status: `failed` has a reason.
        images: that it was tried on.
        clusters, noise, largest: numbers of clusters, of images in none, and of images in the largest.
        ari, nmi: against true labels, where they are given; never used.
        seconds: of its own steps, those that it shares counted in full.
        records: how its table steps went.
    """

    number: int
    phase: int
    generation: int
    options: dict[str, Value]
    status: Literal["done", "failed"] = "done"
    reason: str = ""
    images: int = 0
    clusters: int = 0
    noise: int = 0
    largest: int = 0
    modularity: float | None = None
    stability: float | None = None
    score: float | None = None
    ari: float | None = None
    nmi: float | None = None
    seconds: float = 0.0
    records: list[StepRecord] = field(default_factory=list, repr=False)

    def facts(self) -> dict[str, Any]:
        """Return the row, without what other files hold."""
        return {key: value for key, value in asdict(self).items() if key != "records"}


@dataclass
class _Member:
    """A candidate's pipeline under way, or its twin's. `reason`: why it can't go on."""

    state: RunState
    clusterer: str
    waiting: list[PlannedStep]
    records: list[StepRecord] = field(default_factory=list)
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class _Job:
    """An answer that is still to be made, and who waits for it."""

    step: PlannedStep
    job: Any
    members: list[_Member]


@dataclass(frozen=True)
class _Features:
    """What a features run left: its folder, the images of its result, ids by step that lacks some."""

    folder: Folder
    images: pa.Table
    covered: dict[str, pa.Array]
    run: Run
    embedder: str


class Bench:
    """Where candidates are tried.

    Args:
        pipeline: that is tuned.
        source, store, host, options, progress: as for a run.
        weights: of the score.
        truth: `folder` reports each candidate against the names of the images' folders.
    """

    def __init__(
        self, pipeline: Pipeline, source: str, store: Store, host: Host, options: RunOptions, progress: Progress,
        weights: Weights, truth: str | None = None,
    ) -> None:  # fmt: skip
        """Compute nothing yet."""
        self.pipeline, self.source, self.store, self.host = pipeline, source, store, host
        self.options, self.progress, self.weights, self.truth = options, progress, weights, truth
        self.executor = Executor(replace(options, force=frozenset()))
        self.plan = make_plan(pipeline)
        self.clusterer = tuned_clusterer(self.plan)
        self._features: dict[tuple[str, ...], _Features] = {}
        self._graphs: dict[tuple[str, int], Graph] = {}

    @property
    def reducer(self) -> str | None:
        """The reducer whose vectors the clusterer reads, if any."""
        name = self.plan.step(self.clusterer).sources["embedding"].step
        return name if isinstance(self.plan.step(name).stage, Reducer) else None

    @property
    def steps(self) -> frozenset[str]:
        """The steps whose options change the clusters."""
        return frozenset(step.name for step in _before(self.plan, self.clusterer))

    def images(self) -> pa.Table:
        """Return the images with features, of the pipeline as it is."""
        return self._features_of(self.plan).images

    def evaluate(self, trials: Sequence[Trial], overrides: Sequence[Sequence[str]], ids: pa.Array) -> None:
        """Try candidates on some images, and fill in their rows.

        Args:
            trials: their rows.
            overrides: what each sets.
            ids: images of this phase.
        """
        members = [self._members(trial, texts, ids) for trial, texts in zip(trials, overrides, strict=True)]
        every = [member for pair in members for member in pair]
        while any(member.waiting and not member.reason for member in every):
            self._round(every)
        for trial, pair in zip(trials, members, strict=True):
            self._settle(trial, pair)

    def close(self) -> None:
        """Stop what was started."""
        self.executor.close()

    def _members(self, trial: Trial, overrides: Sequence[str], ids: pa.Array) -> list[_Member]:
        """Return the candidate and, where stability counts and it has a seed, its twin."""
        try:
            made = override(self.pipeline, self.host, overrides)
            plan = make_plan(made)
            found = [self._member(plan, ids)]
            seeds = self._seeds(plan)
            if seeds and self.weights.stability:
                found.append(self._member(make_plan(override(made, self.host, seeds)), ids))
        except ShoalError as error:
            trial.status, trial.reason = "failed", str(error).splitlines()[0]
            return []
        return found

    def _seeds(self, plan: Plan) -> list[str]:
        """Return the overrides that make a twin: another seed for every step before the clusters that has one."""
        steps = [step for step in _before(plan, self.clusterer) if is_table(step)]
        seeds = {step.name: getattr(step.stage, "seed", None) for step in steps}
        return [f"{name}.seed={seed + 1}" for name, seed in seeds.items() if isinstance(seed, int)]

    def _member(self, plan: Plan, ids: pa.Array) -> _Member:
        features = self._features_of(plan)
        images = features.images.filter(pc.is_in(features.images["id"], value_set=ids))
        there = ImageSet(features.folder, images.num_rows, images)
        steps = _before(plan, self.clusterer)
        digests = {step.name: "" for step in steps if not is_table(step)}
        state = RunState(self.store, features.folder, plan, there, covered=dict(features.covered), digests=digests)
        return _Member(state, self.clusterer, [step for step in steps if is_table(step)])

    def _features_of(self, plan: Plan) -> _Features:
        """Return the features of a plan, computed by a run of its map steps where they were not seen before."""
        maps = [step for step in _before(plan, self.clusterer) if not is_table(step)]
        key = tuple(step.fingerprint for step in maps)
        if key not in self._features:
            self._features[key] = self._compute(plan, [step.name for step in maps])
        return self._features[key]

    def _compute(self, plan: Plan, names: list[str]) -> _Features:
        pipeline, embedder = plan.pipeline, self._embedder(plan)
        kept = [step for step in pipeline.steps if step.name in names or isinstance(step.stage, Indexer)]
        part = Pipeline(f"{pipeline.name} (features)", pipeline.description, pipeline.max_failed, tuple(kept))

        def settle(record: RunRecord) -> None:
            tell(self.host, self.store, record, "shoal_run_done")  # who heard of its steps hears of its end

        record = execute(make_plan(part), self.source, self.store, self.host, self.options, self.progress, settle)
        run = Run(self.store, record, self.host)
        covered = {
            step.step: run.folder.read_table(covered_file(step.step))["id"].combine_chunks()
            for step in record.steps
            if step.part
        }
        return _Features(run.folder, run.images.combine_chunks(), covered, run, embedder)

    def _embedder(self, plan: Plan) -> str:
        found = [step.name for step in _before(plan, self.clusterer) if isinstance(step.stage, Embedder)]
        if not found:
            raise UsageError(
                f"the clusters of {plan.pipeline.name} are not made from an embedder's vectors; nothing to score by"
            )
        return found[-1]

    def _round(self, members: Sequence[_Member]) -> None:
        """Answer the next table step of every candidate that is not there yet, each answer once."""
        jobs: dict[str, _Job] = {}
        for member in members:
            if member.waiting and not member.reason:
                self._next(member, jobs)
        waiting = list(jobs.values())
        todo: list[tuple[Any, Placement]] = [(entry.job, placement(entry.step)) for entry in waiting]
        with closing(self.executor.outcomes(todo, JOB_SECONDS * len(todo))) as outcomes:
            for number, outcome in outcomes:
                for member in waiting[number].members:
                    if isinstance(outcome, Trouble):
                        member.reason = f"step {waiting[number].step.name!r}: {outcome.error()}"
                    else:
                        _done(member, waiting[number].step, outcome)

    def _next(self, member: _Member, jobs: dict[str, _Job]) -> None:
        """Take a candidate as far as kept answers lead, and note the answer that it then waits for."""
        while member.waiting:
            step = next(step for step in member.waiting if member.state.ready(step))
            ids = member.state.shown(step)
            member.state.digests[step.name] = member.state.digest(step, ids)
            answer = member.state.answer(step.name)
            if not answer.done:
                uri = answer.folder.uri
                if uri not in jobs:
                    jobs[uri] = _Job(step, table_job(member.state, step, ids, self.executor), [])
                jobs[uri].members.append(member)
                return
            _done(member, step, answer.facts())

    def _settle(self, trial: Trial, members: Sequence[_Member]) -> None:
        """Fill in a candidate's row."""
        if not members:
            return
        trial.images = members[0].state.images.count
        trial.records = [*members[0].records, *(record_of(step) for step in members[0].waiting)]
        reason = next((member.reason for member in members if member.reason), "")
        if reason:
            trial.status, trial.reason = "failed", reason
            return
        trial.seconds = round(sum(member.seconds for member in members), 3)
        first, *others = [_clusters(member) for member in members]
        member = members[0]
        joined = self._graph(member)
        found = score(joined, first, others[0] if others else None, self.weights)
        trial.modularity, trial.stability, trial.score = found.modularity, found.stability, found.score
        import numpy as np

        sizes = np.bincount(first[first >= 0]) if (first >= 0).any() else np.zeros(1, int)
        trial.clusters, trial.noise = int(np.count_nonzero(sizes)), int((first < 0).sum())
        trial.largest = int(sizes.max())
        if self.truth == "folder":
            trial.ari, trial.nmi = self._against_folders(member, first)

    def _graph(self, member: _Member) -> Graph:
        features = self._features_of(member.state.plan)
        key = (features.folder.uri, member.state.images.count)
        if key not in self._graphs:
            table = features.run.table(features.embedder)
            ids = member.state.shown(member.state.plan.step(self.clusterer))
            rows = pc.index_in(ids, value_set=table["id"].combine_chunks())
            self._graphs[key] = graph(to_numpy(table["embedding"].take(rows)), self.weights.neighbors)
        return self._graphs[key]

    def _against_folders(self, member: _Member, clusters: Any) -> tuple[float, float]:
        import numpy as np

        images = member.state.images
        ids = member.state.shown(member.state.plan.step(self.clusterer))
        paths = images.column("path").take(pc.index_in(ids, value_set=images.ids)).to_pylist()
        _, truth = np.unique([path.replace("\\", "/").rpartition("/")[0] for path in paths], return_inverse=True)
        return rand(truth, clusters), information(truth, clusters)


def tuned_clusterer(plan: Plan) -> str:
    """Return the step whose clusters are the pipeline's: the one that the last labels name, else the last one.

    Raises:
        UsageError: there is none.
    """
    labelled = [step.sources["cluster"].step for step in plan.steps if step.stage.kind == "label"]
    made = [step.name for step in plan.steps if step.stage.kind == "cluster"]
    if not labelled and not made:
        raise UsageError(f"pipeline {plan.pipeline.name} has no step of kind 'cluster', so there is nothing to tune")
    return (labelled or made)[-1]


def _before(plan: Plan, name: str) -> list[PlannedStep]:
    """Return a step and all that it is made from, in order, without the index.

    Raises:
        UsageError: a map step among them waits for a table.
    """
    wanted, todo = {name}, [name]
    while todo:
        for other in plan.step(todo.pop()).inputs - wanted - {plan.index.name}:
            wanted.add(other)
            todo.append(other)
    found = [step for step in plan.steps if step.name in wanted]
    tables = {step.name for step in found if is_table(step)}
    for step in found:
        if not is_table(step) and step.inputs & tables:
            raise UsageError(
                f"step {step.name!r} comes before the clusters and waits for a table; such pipelines can't be tuned"
            )
    return found


def _done(member: _Member, step: PlannedStep, facts: dict[str, Any]) -> None:
    member.waiting.remove(step)
    member.seconds += facts["seconds"]
    digest, notes = member.state.digests[step.name], facts["notes"]
    told = {"digest": digest, "notes": notes, "seconds": facts["seconds"], "rows": facts["rows"], "computed": facts["rows"]}
    member.records.append(record_of(step).model_copy(update=told | {"backend": str(notes.get("backend", ""))}))


def _clusters(member: _Member) -> Any:
    table = member.state.answer(member.clusterer).read(["id", "cluster"])
    ids = member.state.shown(member.state.plan.step(member.clusterer))
    if not table["id"].combine_chunks().equals(ids):
        table = table.take(pc.index_in(ids, value_set=table["id"].combine_chunks()))
    return table["cluster"].to_numpy().astype("int64")
