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
