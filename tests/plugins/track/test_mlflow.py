"""Hostile options reach MLflow as text, secrets do not reach it, captions and labels only inside the report."""

from pathlib import Path

import pytest

from shoal.records import RunRecord, RunView, StepRecord
from shoal_plugins.track import mlflow
from tests.hostile import TEXTS

LONG = "describe \x1b[31m" * 2000


def view(folder: Path) -> RunView:
    options = {f"prompt_{place}": text for place, text in enumerate(TEXTS)}
    options |= {"long": LONG, "nested": {"a": ["\u202e", 3]}, "nothing": None, "api_key": "sk-secret", "hf_token": "secret"}
    steps = [StepRecord(step="caption", stage="caption.vllm", version="1", options=options)]
    steps += [StepRecord(step=f"s{n}", stage="embed.lite0", version="1", options={"a": 1, "b": "<b>"}) for n in range(60)]
    record = RunRecord(
        id="run-1", pipeline="\x1b[2Jname\u202e", source="/p/\x1b[31m\n=1+1", started="now", status="done", steps=steps
    )
    return RunView(id="run-1", folder=str(folder / "runs"), store=str(folder), record=record)


def test_parameters_are_single_lines_that_steer_nothing(tmp_path: Path) -> None:
    values = mlflow._parameters(view(tmp_path))
    assert all(len(value) <= mlflow.PARAMETER_LENGTH for value in values.values())
    assert not {character for value in values.values() for character in value} & {*map(chr, range(32)), "\x7f", "\u202e"}
    assert values["pipeline"] == "name"
    assert values["caption.prompt_0"] == TEXTS[0]  # a page and a program read it: nothing is computed there
    assert values["caption.api_key"] == values["caption.hf_token"] == "***"
    assert "secret" not in "".join(values.values())


@pytest.mark.slow
def test_a_real_store_takes_them_and_gives_them_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.delenv(mlflow.URI, raising=False)
    monkeypatch.delenv(mlflow.SWITCH, raising=False)
    run = view(tmp_path)
    mlflow.shoal_run_done(run)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name(mlflow.EXPERIMENT).experiment_id])
    assert found.data.params == mlflow._parameters(run)
    assert found.data.tags["shoal.source"] == "/p/ =1+1"
    assert found.info.status == "FINISHED"


def test_figures_of_evaluators_are_metrics(tmp_path: Path) -> None:
    notes = {"metrics": {"silhouette": 0.25, "clusters": 3, "broken": float("nan"), "words": "x", "a:b\x1b": 1.0}}
    step = StepRecord(step="purity", stage="evaluate.purity", version="1", notes=notes)
    record = RunRecord(id="run-1", pipeline="p", source="/p", started="now", steps=[step])
    found = mlflow._metrics(RunView(id="run-1", folder=str(tmp_path), store=str(tmp_path), record=record))
    assert {name: value for name, value in found.items() if name.startswith("purity.")} == {
        "purity.silhouette": 0.25, "purity.clusters": 3.0, "purity.a_b_": 1.0, "purity.seconds": 0.0, "purity.computed": 0.0,
        "purity.cached": 0.0, "purity.failed": 0.0, "purity.rows_per_second": 0.0,
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")
def test_candidates_are_nested_in_their_tuning_and_logged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.delenv(mlflow.URI, raising=False)
    monkeypatch.delenv(mlflow.SWITCH, raising=False)
    for name, score in (("t-1", 0.5), ("t-2", 0.25), ("t-1", 0.5), ("t", 0.5)):  # the tuning was stopped, and went on
        record = RunRecord(
            id=name, pipeline="p", source="/p", started="now", status="done", tuning="t", scores={"score": score}
        )
        mlflow.shoal_run_done(RunView(id=name, folder=str(tmp_path), store=str(tmp_path), record=record))
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name(mlflow.EXPERIMENT).experiment_id])
    runs = {run.data.tags["shoal.run"]: run for run in found}
    assert len(found) == len(runs) == 3
    assert {runs[name].data.tags["mlflow.parentRunId"] for name in ("t-1", "t-2")} == {runs["t"].info.run_id}
    assert "mlflow.parentRunId" not in runs["t"].data.tags
    assert {name: run.data.metrics["score"] for name, run in runs.items()} == {"t": 0.5, "t-1": 0.5, "t-2": 0.25}
    assert {run.info.status for run in found} == {"FINISHED"}
