"""Hostile options reach MLflow as text, secrets do not reach it, captions and labels only inside the report."""

from pathlib import Path

import pytest

from shoal.host import Host
from shoal.records import RunRecord, RunView, StepRecord
from shoal.runner.telling import tell
from shoal.store import Store
from shoal_plugins.track import mlflow
from tests.hostile import TEXTS
from tests.ports import free_port

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


@pytest.mark.slow
def test_metrics_of_a_step_are_there_as_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where a server is named: else MLflow's tables would be made while the run waits for them."""
    from mlflow import MlflowClient

    monkeypatch.delenv(mlflow.SWITCH, raising=False)
    monkeypatch.delenv(mlflow.URI, raising=False)
    steps = [StepRecord(step=name, stage=f"{name}.x", version="1", computed=7, seconds=2.0) for name in ("index", "embed")]
    record = RunRecord(id="run-1", pipeline="p", source="/p", started="now", steps=steps[:1])
    run = RunView(id="run-1", folder=str(tmp_path / "runs"), store=str(tmp_path), record=record)
    mlflow.shoal_stage_done(run, steps[0])
    assert list(tmp_path.iterdir()) == []
    uri = f"sqlite:///{tmp_path / 'server.db'}"
    monkeypatch.setenv(mlflow.URI, uri)
    client = MlflowClient(tracking_uri=uri)

    def seen() -> list[tuple[str, float | None]]:
        found = client.search_runs([client.get_experiment_by_name(mlflow.EXPERIMENT).experiment_id])
        return [(run.info.status, run.data.metrics.get("embed.computed")) for run in found]

    mlflow.shoal_stage_done(run, steps[0])
    assert seen() == [("RUNNING", None)]
    record.steps.append(steps[1])
    mlflow.shoal_stage_done(run, steps[1])
    assert seen() == [("RUNNING", 7.0)]
    record.status = "done"
    mlflow.shoal_run_done(run)
    assert seen() == [("FINISHED", 7.0)]
    (made,) = client.search_runs([client.get_experiment_by_name(mlflow.EXPERIMENT).experiment_id])
    assert len(client.get_metric_history(made.info.run_id, "embed.computed")) == 1


def test_a_server_that_is_away_is_asked_once_while_a_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the login in its address, which MLflow's error tells, is not in the record."""
    monkeypatch.delenv(mlflow.SWITCH, raising=False)
    monkeypatch.setenv(mlflow.URI, f"http://me:hunter2@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(mlflow, "GIVEN_UP", set())
    record = RunRecord(id="run-1", pipeline="p", source="/p", started="now")
    step = StepRecord(step="index", stage="index.x", version="1")
    store = Store.open(tmp_path / "out", create=True)
    for _ in range(3):
        tell(Host(), store, record, "shoal_stage_done", step)
    assert len(record.hook_errors) == 1
    tell(Host(), store, record, "shoal_run_done")
    assert len(record.hook_errors) == 2
    assert all("http://***@127.0.0.1" in said and "hunter2" not in said for said in record.hook_errors)


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
