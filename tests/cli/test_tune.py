"""`shoal tune`: what a newcomer may get wrong, the leaderboard, the best in full, runs that find nothing."""

import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

import shoal
from shoal.cli.tune import Board, leaders
from shoal.tuning.trials import Trial

from .conftest import Made, call

pytestmark = pytest.mark.processes

SPACE = "shoal-space: 1\noptions:\n  cluster.k: [2, 3, 4]\n"
TUNE = ("tune", "small.yaml", "my photos", "--on", "local")
MISTAKES = [
    ("--search genetic", "--search is evolution or grid, not 'genetic'"),
    ("--truth labels.csv", "--truth is folder, not 'labels.csv'"),
    ("--on spark", "--on is auto, local or ray, not 'spark'"),
    ("--budget 0", "invalid value for '--budget'"),
    ("--fraction 1", "invalid value for '--fraction'"),
    ("--space nothing.yaml", "nothing.yaml can't be read"),
    ("--set clutser.k=3", "there is no step 'clutser'; did you mean 'cluster'?"),
    ("", "there is a default space for reduce.umap before cluster.hdbscan only, not for cluster.kmeans"),
]


@pytest.fixture
def space(fresh: Made) -> Path:
    """A space file in the working folder."""
    path = Path("space.yaml")
    path.write_text(SPACE)
    return path


@pytest.mark.parametrize(("options", "sentence"), MISTAKES, ids=[options or "no space" for options, _ in MISTAKES])
def test_mistakes(fresh: Made, options: str, sentence: str) -> None:
    answer = call(*TUNE, *options.split())
    assert (answer.code, answer.out) == (2, "")
    assert sentence in answer.sentence
    assert not list(fresh.folder.rglob("*.parquet")), "it is said before anything is computed"


def test_the_best_are_run_in_full_the_best_one_last(space: Path) -> None:
    answer = call(*TUNE, "--space", space, "--budget", "3", "--full", "2", "--neighbors", "2")
    assert answer.code == 0, answer.err
    ran = [line for line in answer.err.splitlines() if ": RUN " in line]
    best = json.loads(Path("out/tuning/tuning_summary_latest.json").read_text())["top"]
    assert [line.split(":")[0] for line in ran] == [f"candidate {trial['number']}" for trial in reversed(best[:2])]
    last = shoal.open("out")
    assert last.record.step("cluster").options["k"] == best[0]["options"]["cluster.k"]  # type: ignore[union-attr]
    assert last.folder.exists("report.html")
    assert f"shoal run --from-trial {best[0]['number']} --out out" in answer.out


def test_a_leaderboard_fits_a_narrow_terminal() -> None:
    trials = [
        Trial(17, 1, 1, {"reduce.components": 2, "cluster.selection": 0.25}, clusters=7, noise=9, score=0.556, ari=0.6),
        Trial(3, 1, 1, {"reduce.components": 20, "cluster.selection": 0.0}, clusters=1234, noise=99999, score=0.5),
    ]  # fmt: skip
    text = io.StringIO()
    Console(file=text, width=80).print(leaders("Best", trials))
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:5] == ["17", "0.556", "7", "9", "0.600"] for line in lines)
    assert any(line.split()[:4] == ["3", "0.500", "1,234", "99,999"] for line in lines)
    assert "components 2, selection 0.25" in text.getvalue()


def test_on_a_terminal_the_leaders_are_drawn_as_they_come(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    trials = [Trial(1, 1, 1, {"cluster.k": 3}, clusters=3, score=0.25), Trial(2, 1, 1, {"cluster.k": 0}, "failed", "no k")]
    board.evaluated(trials[:1], 4)
    board.evaluated(trials, 4)
    board.close()
    told = capsys.readouterr().err
    assert "2 of 4 candidates, 1 failed" in told
    assert ["1", "0.250", "3", "0", "k", "3"] in [line.split() for line in told.splitlines()]


@pytest.mark.slow
def test_each_candidate_is_a_run_of_mlflow_within_that_of_the_tuning(space: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.delenv("SHOAL_MLFLOW")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for _ in range(2):  # the second time nothing is new
        assert call(*TUNE, "--space", space, "--neighbors", "2").code == 0
    client = MlflowClient(tracking_uri=f"sqlite:///{Path('out/mlflow.db').absolute()}")
    name = json.loads(Path("out/tuning/tuning_summary_latest.json").read_text())["name"]
    runs = client.search_runs([client.get_experiment_by_name("shoal").experiment_id])
    (whole,) = [run for run in runs if run.data.tags["shoal.run"] == name]
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == whole.info.run_id]
    assert {run.data.params["cluster.k"] for run in nested} == {"2", "3", "4"}
    assert len(nested) == 3
    assert all("score" in run.data.metrics for run in nested)


def test_candidates_that_group_nothing_are_not_recommended(space: Path) -> None:
    space.write_text(SPACE.replace("[2, 3, 4]", "[1]"))
    answer = call(*TUNE, "--space", space)
    assert answer.code == 0
    assert "no candidate has clusters that hold together" in answer.err
    assert "--from-trial" not in answer.out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("{min_cluster_size: 50, min_samples: 10}", "--set cluster.min_cluster_size=5 --set cluster.min_samples=5 takes"),
        ("{min_cluster_size: 200, min_samples: 10}", "--set cluster.min_cluster_size=20 takes"),
        ("{min_cluster_size: 9, min_samples: 9}", "`shoal stages cluster.hdbscan` lists the options"),
    ],
)
def test_a_run_without_a_cluster_says_what_finds_smaller_ones(fresh: Made, options: str, told: str) -> None:
    text = fresh.pipeline.read_text().replace("cluster.kmeans\n    with: {k: 3}", f"cluster.hdbscan\n    with: {options}")
    fresh.pipeline.write_text(text)
    answer = call("run", "small.yaml", "my photos", "--on", "local")
    assert answer.code == 0, answer.err
    assert "no cluster was found; " in answer.err
    assert told in answer.err
