"""A tuning from its features to its best candidates."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import pyarrow as pa

from shoal.api import source_of
from shoal.host import Host
from shoal.pipeline import Pipeline, load, override
from shoal.records import RunView
from shoal.runner import Progress, RunOptions, Silent
from shoal.runner.telling import tell
from shoal.store import Store
from shoal.tuning import space as spaces
from shoal.tuning.results import Results, ranked
from shoal.tuning.search import Evolution, Grid, Search
from shoal.tuning.settings import Settings, Unwatched, Watcher
from shoal.tuning.space import Genes, Space
from shoal.tuning.trials import Bench, Trial

GAIN = 1e-3
"""A score that is higher by less is no progress."""

ENDED = {"budget": "the budget is used up", "plateau": "no better candidate came", "space": "every combination was tried"}


@dataclass(frozen=True)
class Tuning:
    """A tuning that ended.

    Attributes:
        name: of its folder in `OUT/tuning/`.
        trials: all candidates, in order.
        ended: why it ended: `budget`, `plateau` or `space`.
        summary: as written.
    """

    name: str
    trials: tuple[Trial, ...]
    ended: str
    summary: dict[str, Any]

    @property
    def best(self) -> Trial | None:
        """The best candidate; None where all failed."""
        return next(iter(ranked(self.trials)), None)


def tune(
    pipeline: str | Path | Pipeline,
    images: str | Path,
    out: str | Path = "out",
    *,
    space: str | Path | None = None,
    settings: Settings | None = None,
    overrides: Sequence[str] = (),
    truth: str | None = None,
    options: RunOptions | None = None,
    host: Host | None = None,
    progress: Progress | None = None,
    watcher: Watcher | None = None,
) -> Tuning:
    """Try candidates of a pipeline and rank them by a score that knows no labels.

    Everything that is computed is kept at once: the same call goes on after a stop, and gives the same results.

    Args:
        pipeline: name of a recipe, path of a pipeline file, or a `Pipeline`.
        images: as the pipeline's index stage takes them.
        out: folder or URI of the store.
        space: file of what may change; None takes a default for UMAP and HDBSCAN.
        settings: of the search.
        overrides: as `--set` takes them.
        truth: `folder` reports each candidate against the names of the images' folders; it is never searched by.
        options: how it runs.
        host: plugins; None discovers them.
        progress: hears how far the features are.
        watcher: hears of generations.

    Raises:
        UsageError: the pipeline, the space, the images or the folder is wrong.
        RunFailed: the features could not be computed.
    """
    host, settings = host or Host(), settings or Settings()
    base = override(pipeline, host, overrides) if isinstance(pipeline, Pipeline) else load(pipeline, host, overrides)
    told = spaces.load(space, base, host) if space is not None else None
    source, store = source_of(images), Store.open(out, create=True)
    bench = Bench(base, source, store, host, options or RunOptions(), progress or Silent(), settings.weights, truth)
    try:  # what is wrong with the space is said before features are computed
        spaces.check_steps(told or spaces.default(base, bench.clusterer, bench.reducer, 0), bench.steps)
        found = bench.images()
        chosen = told or spaces.default(base, bench.clusterer, bench.reducer, found.num_rows)
        results = Results(store, _name(base, source, chosen, settings), partial(_yaml, base, host))
        return _Tuner(bench, chosen, settings, results, watcher or Unwatched()).run(found["id"].combine_chunks())
    finally:
        bench.close()


class _Tuner:
    """A tuning under way."""

    def __init__(self, bench: Bench, space: Space, settings: Settings, results: Results, watcher: Watcher) -> None:
        """Know no candidate yet."""
        self.bench, self.space, self.settings, self.results, self.watcher = bench, space, settings, results, watcher
        self.trials: list[Trial] = []
        self.genes: list[Genes] = []
        self.trouble: list[str] = []
        self.began, self.started = perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")

    def run(self, ids: pa.Array) -> Tuning:
        """Go through the phases."""
        self.watcher.begun(self.settings.budget, len(ids))
        first, ended = [self.space.nearest(_options(self.bench.pipeline, self.space))], "budget"
        for number, (part, budget) in enumerate(self.settings.phases(len(ids)), 1):
            search = self._search(budget, first)
            ended = self._phase(number, search, budget, _part(ids, part, self.settings.seed))
            first = self._best(number)
        summary = self._summary(ended)
        self.results.write(self.trials, [], summary)
        self._tell(self.results.view_all(summary, "done"))
        return Tuning(self.results.name, tuple(self.trials), ended, summary)

    def _search(self, budget: int, first: Sequence[Genes]) -> Search:
        if self.settings.search == "grid":
            return Grid(self.space, budget, self.settings.seed, first)
        return Evolution(self.space, self.settings.seed, first)

    def _phase(self, phase: int, search: Search, budget: int, ids: pa.Array) -> str:
        """Try candidates until the budget is used up or no better one comes; return why it ended."""
        left, generation, stale, best, tried = budget, 0, 0, -math.inf, 0
        while left > 0:
            asked = search.ask(min(self.settings.generation, left))
            if not asked:
                return "space"
            generation += 1
            fresh = self._generation(phase, generation, asked, ids)
            for genes, trial in zip(asked, fresh, strict=True):
                search.tell(genes, trial.score)
            left, tried = left - len(asked), tried + len(asked)
            top = max((trial.score for trial in fresh if trial.score is not None), default=-math.inf)
            stale = 0 if top > best + GAIN else stale + 1
            best = max(best, top)
            if self.settings.search != "grid" and stale >= self.settings.patience and tried >= self.settings.least:
                return "plateau"
        return "budget"

    def _generation(self, phase: int, generation: int, asked: Sequence[Genes], ids: pa.Array) -> list[Trial]:
        number = len(self.trials) + 1
        fresh = [Trial(number + place, phase, generation, self.space.values(genes)) for place, genes in enumerate(asked)]
        self.bench.evaluate(fresh, [self.space.overrides(genes) for genes in asked], ids)
        self.trials += fresh
        self.genes += asked
        summary = self._summary("running")
        self.results.write(self.trials, fresh, summary)
        for trial in fresh:
            self._tell(self.results.view(trial, summary))
        self.watcher.evaluated(self.trials, self.settings.budget)
        return fresh

    def _tell(self, seen: RunView) -> None:
        tell(self.bench.host, self.bench.store, seen.record, "shoal_run_done", seen=seen)
        self.trouble += [error for error in seen.record.hook_errors if error not in self.trouble]

    def _best(self, phase: int) -> list[Genes]:
        scored = [
            (-trial.score, trial.number, genes)
            for trial, genes in zip(self.trials, self.genes, strict=True)
            if trial.phase == phase and trial.score is not None
        ]
        return [genes for _, _, genes in sorted(scored)[: self.settings.top]]

    def _summary(self, ended: str) -> dict[str, Any]:
        best = next(iter(ranked(self.trials)), None)
        return {
            "pipeline": self.bench.pipeline.name,
            "source": self.bench.source,
            "started": self.started,
            "ended": ended,
            "evaluated": len(self.trials),
            "failed": sum(trial.status == "failed" for trial in self.trials),
            "seconds": round(perf_counter() - self.began, 3),
            "settings": asdict(self.settings),
            "space": {d.option: list(d.values) for d in self.space.dimensions},
            "best": best.facts() if best else None,
            "hook_errors": self.trouble,
        }


def _options(pipeline: Pipeline, space: Space) -> dict[str, Any]:
    """Return what a pipeline says itself of the options of a space."""
    found = {}
    for dimension in space.dimensions:
        step, *path = dimension.option.split(".")
        value: Any = pipeline.step(step).stage.model_dump(mode="json")
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        found[dimension.option] = value
    return found


def _part(ids: pa.Array, share: float, seed: int) -> pa.Array:
    """Return a part of the images that depends on their ids and the seed only."""
    if share >= 1:
        return ids
    texts = ids.to_pylist()
    texts.sort(key=lambda text: hashlib.sha256(f"{seed}/{text}".encode()).digest())
    return pa.array(sorted(texts[: max(round(len(texts) * share), 1)]), ids.type)


def _name(base: Pipeline, source: str, space: Space, settings: Settings) -> str:
    """Return the tuning's name: the same for the same command, whatever its budget."""
    facts = {key: value for key, value in asdict(settings).items() if key != "budget"}
    what = [base.to_yaml(), source, [[d.option, d.values] for d in space.dimensions], facts]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:8]


def _yaml(base: Pipeline, host: Host, trial: Trial) -> str:
    made = override(base, host, [f"{option}={json.dumps(value)}" for option, value in trial.options.items()])
    return made.to_yaml()
