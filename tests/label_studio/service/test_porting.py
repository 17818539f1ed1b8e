"""Models written for Label Studio's own ML backend run here with other imports: a real example, and some that misbehave."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from shoal.errors import ImageError, UsageError
from shoal_ls.model import LabelStudioMLBase
from shoal_ls.service.fetching import Places
from shoal_ls.service.porting import model_class
from shoal_ls.service.serving import Options, application
from tests.label_studio.service.conftest import wait_until

EXAMPLE = "examples.ported_label_studio_model.model:TextClassifier"
ROOT = Path(__file__).parents[3]
CONFIG = (ROOT / "examples" / "ported_label_studio_model" / "labels.xml").read_text()
GOOD = ["what a lovely day", "lovely work, thank you", "a lovely place", "so lovely"]
BAD = ["an awful mess", "awful, never again", "this is awful", "awful noise"]


class Odd(LabelStudioMLBase):
    """Answers what the first task's text says: each a way to misbehave, or to be clumsy."""

    setups = 0

    def setup(self) -> None:
        type(self).setups += 1

    def predict(self, tasks: list[dict[str, Any]], context: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        region = {"from_name": "mood", "to_name": "text", "type": "choices", "value": {"choices": ["Positive"]}}
        answers: dict[str, Any] = {
            "numpy": [{"result": [region], "score": np.float32(0.5)}] * len(tasks),
            "old": {"predictions": [{"result": [region]}] * len(tasks)},
            "several": [[{"result": [region]}, {"result": []}]] * len(tasks),
            "few": [{"result": []}],
            "none": None,
            "nan": [{"result": [], "score": float("nan")}] * len(tasks),
            "strange": ["x"] * len(tasks),
        }
        return answers[tasks[0]["data"]["text"]]


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder in which people type `shoal serve`."""
    monkeypatch.chdir(ROOT)


def serve(model: str, folder: Path) -> TestClient:
    return TestClient(application(Options(str(folder), model=model)))


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[TestClient]:
    """A backend over the odd model."""
    Odd.setups = 0
    with serve(f"{__name__}:Odd", tmp_path) as client:
        yield client


def ask(client: TestClient, texts: list[str]) -> list[Any]:
    tasks = [{"id": place, "data": {"text": text}} for place, text in enumerate(texts)]
    answer = client.post("/predict", json={"tasks": tasks, "project": "3.17", "label_config": CONFIG, "params": {}})
    assert answer.status_code == 200, answer.text
    results: list[Any] = answer.json()["results"]
    assert len(results) == len(texts)
    return results


def annotate(client: TestClient, number: int, text: str, choice: str) -> None:
    region = {"from_name": "mood", "to_name": "text", "type": "choices", "value": {"choices": [choice]}}
    event = {
        "action": "ANNOTATION_CREATED", "project": {"id": 3, "label_config": CONFIG},
        "task": {"id": number, "data": {"text": text}},
        "annotation": {"id": number, "updated_at": "2026-01-01T00:00:00Z", "result": [region]},
    }  # fmt: skip
    assert client.post("/webhook", json=event).json()["new"] == 1


def test_the_ported_example_learns_from_the_webhook_and_knows_it_after_a_restart(tmp_path: Path) -> None:
    with serve(EXAMPLE, tmp_path) as client:
        setup = client.post("/setup", json={"project": "3.17", "schema": CONFIG, "access_token": "t"}).json()
        assert setup == {"model_version": "0.0.1"}
        assert ask(client, GOOD[:1])[0]["result"] == []
        for number, (text, choice) in enumerate(
            [*((each, "Positive") for each in GOOD), *((each, "Negative") for each in BAD)]
        ):
            annotate(client, number, text, choice)
        wait_until(lambda: client.post("/setup", json={"project": "3"}).json()["model_version"] == "text-classifier-8")
        first = ask(client, ["lovely", "awful"])
    with serve(EXAMPLE, tmp_path) as client:
        again = ask(client, ["lovely", "awful"])
    assert [each["result"][0]["value"]["choices"] for each in first] == [["Positive"], ["Negative"]]
    assert {each["model_version"] for each in first} == {"text-classifier-8"}
    assert first == again
    assert all(0.5 < each["score"] < 1 for each in first)


def test_a_model_is_set_up_once_a_project_whatever_is_asked(odd: TestClient) -> None:
    for _ in range(5):
        ask(odd, ["numpy"])
        odd.post("/setup", json={"project": "3.17", "schema": CONFIG})
    assert Odd.setups == 1
    odd.post("/setup", json={"project": "4.17", "schema": CONFIG})
    assert Odd.setups == 2


@pytest.mark.parametrize("kind", ["numpy", "old", "several", "strange"])
def test_every_shape_that_models_answer_in_is_taken(odd: TestClient, kind: str) -> None:
    for each in ask(odd, [kind, "x"]):
        for one in each if isinstance(each, list) else [each]:
            assert one["model_version"] == "0.0.1"
            assert isinstance(one["score"], float)
            assert isinstance(one["result"], list)


@pytest.mark.parametrize("kind", ["few", "none", "nan", "a text that it knows nothing of"])
def test_a_model_that_fails_gives_empty_predictions_with_a_reason(odd: TestClient, kind: str) -> None:
    for each in ask(odd, [kind, "x"]):
        assert (each["result"], each["score"]) == ([], 0)
        assert each["reason"]


def test_a_class_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_model.py").write_text("raise RuntimeError('no')")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    for name, said in (
        ("json", "module:Class"), ("nonesuch:X", "can't be imported"), ("broken_model:X", "RuntimeError: no"),
        ("json:JSONDecoder", "no subclass"), ("json:nonesuch", "no subclass"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            model_class(name)


def test_a_model_reads_files_from_allowed_places_only(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.txt").write_text("inside")
    (tmp_path / "b.txt").write_text("outside")
    model = Odd("3", CONFIG, folder=tmp_path / "state", places=Places(document_root=tmp_path / "root"))
    task = {"data": {"text": "/data/local-files/?d=a.txt", "other": ["plain", 7]}}
    assert model.preload_task_data(task) == {"text": "inside", "other": ["plain", 7]}
    for url in (str(tmp_path / "b.txt"), "/data/local-files/?d=../b.txt", "http://127.0.0.1:1/x"):
        with pytest.raises(ImageError):
            model.get_local_path(url)
