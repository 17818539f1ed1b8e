"""A tuning over small pictures: features once, shared reductions once, failures are rows, the same again."""

import csv
import json
from pathlib import Path

import pytest

from shoal import Run
from shoal.errors import UsageError
from shoal.hooks import hookimpl
from shoal.host import Host
from shoal.pipeline import Pipeline, load, override
from shoal.records import RunView
from shoal.runner import RunOptions
from shoal.store import Store, TableStore
from shoal.tuning import Settings, Tuning, from_trial, tune
from shoal.tuning.results import SUMMARY, TABLE, Results
from shoal.tuning.trials import Trial
from tests.loopback_s3 import serve

pytestmark = pytest.mark.processes

SPACE = """
shoal-space: 1
options:
  reduce.components: [2, 3, 4]
  cluster.min_cluster_size: {from: 2, to: 6, step: 2}
  cluster.backend: [hdbscan, sklearn] # scikit-learn's has no persistence: those candidates fail
"""
LOCAL = RunOptions(where="local")
GRID = Settings(budget=18, search="grid", generation=6)


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Folders of the answers that are computed, as they are written."""
    found: list[str] = []
    write = TableStore.write

    def noted(self: TableStore, *arguments: object) -> None:
        found.append(self.folder.uri)
        write(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(TableStore, "write", noted)
    return found


def go(pipeline: Pipeline, photos: Path, out: Path, space: Path, host: Host, settings: Settings = GRID) -> Tuning:
    return tune(pipeline, photos, out, space=space, settings=settings, truth="folder", options=LOCAL, host=host)


def facts(tuning: Tuning) -> list[dict[str, object]]:
    return [trial.facts() for trial in tuning.trials]


def test_each_reduction_is_computed_once_and_a_repeat_computes_nothing(
    pipeline: Pipeline, photos: Path, tmp_path: Path, space: Path, host: Host, written: list[str]
) -> None:
    made = go(pipeline, photos, tmp_path / "out", space, host)
    assert len(made.trials) == 18
    reductions = [uri for uri in written if "/reduce.pca/" in uri]
    assert len(reductions) == len(set(reductions)) == 3
    assert len([uri for uri in written if "/cluster.hdbscan/" in uri]) == 9
    assert not [uri for uri in written if "/label." in uri]
    written.clear()
    assert facts(go(pipeline, photos, tmp_path / "out", space, host)) == facts(made)
    assert not written


def test_who_hears_of_a_run_s_steps_hears_of_its_end(
    pipeline: Pipeline, photos: Path, tmp_path: Path, space: Path, host: Host
) -> None:
    """A tracker that opened a run at its first step can close it: the features' too."""

    class Tracker:
        begun: set[str] = set()
        ended: set[str] = set()

        @hookimpl
        def shoal_stage_done(self, run: RunView) -> None:
            self.begun.add(run.id)

        @hookimpl
        def shoal_run_done(self, run: RunView) -> None:
            self.ended.add(run.id)

    host.manager.register(tracker := Tracker())
    try:
        go(pipeline, photos, tmp_path / "out", space, host, Settings(budget=2, search="grid"))
    finally:
        host.manager.unregister(tracker)
    assert tracker.begun
    assert tracker.begun <= tracker.ended


def test_a_failed_candidate_is_a_row_with_its_reason(
    pipeline: Pipeline, photos: Path, tmp_path: Path, space: Path, host: Host
) -> None:
    made = go(pipeline, photos, tmp_path / "out", space, host)
    rows = list(csv.DictReader((tmp_path / "out" / "tuning" / TABLE).read_text().splitlines()))
    assert [int(row["number"]) for row in rows] == list(range(1, 19))
    for row in rows:
        failed = row["cluster.backend"] == "sklearn"
        assert (row["status"] == "failed") == failed == ("has no selection_persistence" in row["reason"])
        assert (row["score"] == "") == failed
    assert made.summary["failed"] == 9
    assert made.best is not None
    assert made.best.options["cluster.backend"] == "hdbscan"


def test_the_files_of_a_tuning(pipeline: Pipeline, photos: Path, tmp_path: Path, space: Path, host: Host) -> None:
    made = go(pipeline, photos, tmp_path / "out", space, host)
    home = tmp_path / "out" / "tuning"
    summary = json.loads((home / SUMMARY).read_text())
    assert (summary["name"], summary["ended"], summary["evaluated"]) == (made.name, "budget", 18)
    assert made.best is not None
    assert summary["best"]["number"] == made.best.number == summary["top"][0]["number"]
    folder = home / made.name
    assert len(list((folder / "trials").iterdir())) == 18
    assert len(list((folder / "top").iterdir())) == 9
    best = load(folder / "best.yaml", host)
    wanted = override(pipeline, host, [f"{option}={value}" for option, value in made.best.options.items()])
    assert best.steps == wanted.steps


def test_a_candidate_runs_again_to_the_same_clusters(
    pipeline: Pipeline, photos: Path, tmp_path: Path, space: Path, host: Host, written: list[str]
) -> None:
    from shoal import run

    out = tmp_path / "out"
    made = go(pipeline, photos, out, space, host)
    trial = next(trial for trial in made.trials if trial.score is not None and trial.number != 1)
    written.clear()
    file, source = from_trial(str(out), str(trial.number))
    again: Run = run(Path(file), source, out, options=LOCAL, host=host)
    assert not [uri for uri in written if "/reduce." in uri or "/cluster." in uri]
    assert (again.record.clusters, again.record.noise) == (trial.clusters, trial.noise)
    assert again.record.step("cluster").digest == trial.records[-1].digest  # type: ignore[union-attr]
    assert from_trial(str(out), f"{made.name}/{trial.number}") == (file, source)
    for wrong in ("99", "x", "-1", "nothing/1", "../1"):
        with pytest.raises(UsageError):
            from_trial(str(out), wrong)


def test_two_phases_try_a_part_and_then_the_best_on_all(
    pipeline: Pipeline, photos: Path, tmp_path: Path, space: Path, host: Host
) -> None:
    settings = Settings(budget=12, search="grid", two_phases=True, fraction=0.5, ratio=0.75, top=3)
    made = go(pipeline, photos, tmp_path / "out", space, host, settings)
    phases = [(trial.phase, trial.images) for trial in made.trials]
    assert phases == [(1, 12)] * 9 + [(2, 24)] * 3
    scored = sorted((t for t in made.trials[:9] if t.score is not None), key=lambda t: (-(t.score or 0), t.number))
    assert [trial.options for trial in made.trials[9:]] == [trial.options for trial in scored[:3]]
    assert made.best is not None
    assert made.best.phase == 2


def test_a_plateau_ends_it(pipeline: Pipeline, photos: Path, tmp_path: Path, space: Path, host: Host) -> None:
    settings = Settings(budget=18, generation=2, patience=2, least=4)
    made = go(pipeline, photos, tmp_path / "out", space, host, settings)
    assert made.ended == "plateau"
    assert 6 <= len(made.trials) < 18


def test_a_stop_keeps_what_was_evaluated(
    pipeline: Pipeline, photos: Path, tmp_path: Path, space: Path, host: Host, written: list[str]
) -> None:
    class Stops:
        def begun(self, total: int, images: int) -> None: ...

        def evaluated(self, trials: object, budget: int) -> None:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        tune(pipeline, photos, out, space=space, settings=GRID, options=LOCAL, host=host, truth="folder", watcher=Stops())
    assert len(list(csv.DictReader((out / "tuning" / TABLE).read_text().splitlines()))) == 6
    before = set(written)
    made = go(pipeline, photos, out, space, host)
    assert len(made.trials) == 18
    assert len(written) == len(set(written)) > len(before)
    other = go(pipeline, photos, tmp_path / "other", space, host)
    assert [{**row, "seconds": 0} for row in facts(made)] == [{**row, "seconds": 0} for row in facts(other)]


def test_options_of_map_steps_are_tuned_too(pipeline: Pipeline, photos: Path, tmp_path: Path, host: Host) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("shoal-space: 1\noptions:\n  embed.side: [8, 16]\n")
    made = go(pipeline, photos, tmp_path / "out", path, host)
    assert [trial.options for trial in made.trials] == [{"embed.side": 16}, {"embed.side": 8}]
    assert made.ended == "space"
    assert {trial.status for trial in made.trials} == {"done"}


def test_an_option_that_changes_no_cluster_is_told_before_anything_is_computed(
    pipeline: Pipeline, photos: Path, tmp_path: Path, host: Host, written: list[str]
) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("shoal-space: 1\noptions:\n  reduce.components: [2, 3]\n  index.recursive: [true, false]\n")
    with pytest.raises(UsageError) as caught:
        go(pipeline, photos, tmp_path / "out", path, host)
    told = f"{path}:4: `index.recursive` changes no cluster; options of these steps do: cluster, embed, reduce"
    assert str(caught.value) == told
    with pytest.raises(UsageError, match="--space"):
        tune(pipeline, photos, tmp_path / "out", options=LOCAL, host=host)
    assert not written
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_a_second_phase_with_fewer_candidates_than_the_first_hands_on_keeps_to_the_budget(
    pipeline: Pipeline, photos: Path, tmp_path: Path, space: Path, host: Host
) -> None:
    settings = Settings(budget=8, two_phases=True, fraction=0.5, ratio=0.75, top=6, generation=4)
    made = go(pipeline, photos, tmp_path / "out", space, host, settings)
    assert [trial.phase for trial in made.trials] == [1] * 6 + [2] * 2


def test_what_can_not_be_tuned_is_said(photos: Path, tmp_path: Path, host: Host) -> None:
    from shoal.pipeline import parse

    bare = parse("shoal: 1\nsteps:\n  - use: index.folder\n  - use: embed.colours\n", host)
    with pytest.raises(UsageError, match="nothing to tune"):
        tune(bare, photos, tmp_path / "out", options=LOCAL, host=host)


def test_a_candidate_of_a_tuning_in_a_bucket_runs_here(pipeline: Pipeline, host: Host) -> None:
    """As `shoal run --from-trial` and `shoal tune --full` want it, on whatever machine they run."""
    with pytest.MonkeyPatch.context() as patch, serve(patch, "tuned") as bucket:
        out = bucket.uri("out")
        trial = Trial(1, 1, 1, {"cluster.min_samples": 3}, score=0.5)
        results = Results(Store.open(out, create=True), "first", lambda trial: pipeline.to_yaml())
        results.write([trial], [trial], {"source": bucket.uri("in"), "evaluated": 1})
        file, source = from_trial(out, "1")
        assert source == bucket.uri("in")
        assert load(file, host).steps == pipeline.steps
