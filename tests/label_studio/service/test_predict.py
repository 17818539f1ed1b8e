"""`/predict` from the store: what the run says of each task, in order, in the shapes of the labelling configurations."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from shoal.catalogue import Run
from shoal_ls.service.controls import SHOAL, read_config
from shoal_ls.service.predicting import Prediction, Unseen, predict
from shoal_ls.service.serving import Options, application
from shoal_ls.service.snapshot import Snapshot, Suggestion, take
from tests.label_studio.service.conftest import CLUSTER_CONFIG, ask, cluster_task, image_task, members

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def regions(prediction: dict[str, Any]) -> dict[str, Any]:
    return {region["from_name"]: region["value"] for region in prediction["result"]}


def test_a_cluster_that_stands_is_proposed_as_it_is(client: TestClient, run: Run) -> None:
    images = members(run)[1]
    prediction = ask(client, [cluster_task(run, 1, images)], CLUSTER_CONFIG)[0]
    said = regions(prediction)
    label = {row["cluster"]: row["label"] for row in run.table("label").to_pylist()}[1]
    assert said["verdict"] == {"choices": ["accept"]}
    assert said["cluster_label"] == {"text": [label]}
    assert said["assign"]["ranker"] == {"keep": images, "alt1": [], "alt2": [], "new": [], "noise": []}
    assert {region["to_name"] for region in prediction["result"]} == {"ctx", "imgs"}
    assert 0 <= prediction["score"] <= 1


def test_images_that_are_elsewhere_now_lie_in_the_bucket_of_their_cluster(client: TestClient, run: Run) -> None:
    clusters = members(run)
    shown = [*clusters[0], clusters[1][0], clusters[2][0]]
    task = cluster_task(run, 0, shown, alt1=1, alt2=None)
    said = regions(ask(client, [task], CLUSTER_CONFIG)[0])
    ranker = said["assign"]["ranker"]
    assert said["verdict"] == {"choices": ["edit"]}
    assert ranker["alt1"] == [clusters[1][0]]
    assert ranker["keep"] == [*clusters[0], clusters[2][0]], "no bucket stands for cluster 2"
    assert sorted(image for bucket in ranker.values() for image in bucket) == sorted(shown), "union of buckets == items"


def test_doubt_of_a_task_is_the_score_turned_round(client: TestClient, run: Run) -> None:
    task = cluster_task(run, 0, members(run)[0], doubt=0.25)
    assert ask(client, [task], CLUSTER_CONFIG)[0]["score"] == 0.75


def test_a_task_that_shows_the_numbers_of_other_clusters_gets_no_prediction(client: TestClient, run: Run) -> None:
    images = members(run)[0]
    other, same = (cluster_task(run, 0, images, shoal_base=base) for base in ("3-0123456789ab", "0"))
    refused, predicted = ask(client, [other, same], CLUSTER_CONFIG)
    assert refused["result"] == []
    assert "`shoal review open` brings it up to date" in refused["reason"]
    assert regions(predicted)["verdict"] == {"choices": ["accept"]}


def test_number_of_results_equals_number_of_tasks_in_order_and_broken_ones_are_empty(client: TestClient, run: Run) -> None:
    clusters = members(run)
    tasks: list[Any] = [
        image_task(clusters[2][0]), {"id": 2}, None, image_task(clusters[0][0]), {"data": []}, {"data": {"image": 7}}, "x",
        cluster_task(run, 0, []), image_task(clusters[1][0]),
    ]  # fmt: skip
    results = ask(client, tasks)
    chosen = [regions(each).get("cls", {}).get("choices") for each in results]
    assert chosen == [["cluster:2"], None, None, ["cluster:0"], None, None, None, None, ["cluster:1"]]
    for each in results:
        assert each["model_version"] == results[0]["model_version"]
        if not each["result"]:
            assert (each["result"], each["score"]) == ([], 0)
            assert each["reason"]


@pytest.mark.parametrize(
    "reference",
    [
        "{path}",
        "file://{path}",
        "/data/local-files/?d={relative}",
        "http://127.0.0.1:8080/data/local-files/?d={relative}",
        "http://127.0.0.1:9090/pictures/{id}.jpg?signature=abc",
        "/data/local-files/?d=thumbnails/ab/{id}.jpg",
        "s3://bucket/thumbnails/{id}.jpg",
    ],
)
def test_an_image_is_known_by_path_and_url(out: Path, run: Run, small_store: Path, reference: str) -> None:
    image, path = (run.images[column].to_pylist()[4] for column in ("id", "path"))
    relative = quote(str(Path(path).relative_to(small_store)))
    place = reference.format(path=path if reference == "{path}" else quote(path), relative=relative, id=image)
    with TestClient(application(Options(str(out), document_root=small_store))) as client:
        prediction = ask(client, [image_task(place)])[0]
    cluster = next(cluster for cluster, images in members(run).items() if image in images)
    assert regions(prediction)["cls"]["choices"] == [f"cluster:{cluster}"]
    assert "ranked" in prediction


def test_a_choice_of_names_gets_the_name(client: TestClient, run: Run) -> None:
    labels = {row["cluster"]: row["label"] for row in run.table("label").to_pylist()}
    choices = "".join(f'<Choice value="{label.upper()}"/>' for label in labels.values())
    config = f'<View><Image name="photo" value="$url"/><Choices name="what" toName="photo">{choices}</Choices></View>'
    image = members(run)[2][0]
    prediction = ask(client, [{"id": 1, "data": {"url": f"/x/{image}.png"}}], config)[0]
    assert prediction["result"] == [
        {"from_name": "what", "to_name": "photo", "type": "choices", "value": {"choices": [labels[2].upper()]}}
    ]


def test_controls_that_the_configuration_lacks_are_left_out(client: TestClient, run: Run) -> None:
    verdict = '<Choices name="verdict" toName="ctx"><Choice value="accept"/></Choices>'
    config = f'<View><Text name="ctx" value="$context"/>{verdict}</View>'
    assert set(regions(ask(client, [cluster_task(run, 0, members(run)[0])], config)[0])) == {"verdict"}


def test_a_cluster_of_another_run_is_not_guessed(client: TestClient, run: Run) -> None:
    prediction = ask(client, [cluster_task(run, 0, members(run)[0], shoal_run="other")], CLUSTER_CONFIG)[0]
    assert prediction["result"] == []
    assert "another run" in prediction["reason"]


def test_a_rescue_is_confirmed_while_the_image_is_noise_and_told_when_it_went_elsewhere(run: Run) -> None:
    image = members(run)[0][0]
    snapshot = take(run)
    data = {
        "shoal_surface": "s", "shoal_run": run.id, "shoal_task": f"rescue:{image}", "suggested": 2,
        "candidates": [{"value": "cluster:0"}, {"value": "cluster:2"}],
    }  # fmt: skip

    def said(cluster: int) -> Prediction | Unseen:
        here = Snapshot(run, "v", {**snapshot.clusters, image: cluster}, suggestions={image: Suggestion(2, 0.8)})
        return predict({"data": data}, here, SHOAL)

    noise, elsewhere = said(-1), said(0)
    assert isinstance(noise, Prediction)
    assert isinstance(elsewhere, Prediction)
    assert [region["value"] for region in noise.result] == [{"choices": ["confirm"]}]
    assert noise.score == 0.8
    assert [region["value"] for region in elsewhere.result] == [{"choices": ["other"]}, {"choices": ["cluster:0"]}]


def test_model_version_is_one_content_hash_the_same_in_setup_versions_and_every_prediction(
    client: TestClient, run: Run
) -> None:
    setup = client.post("/setup", json={"project": "7.1700000000", "schema": CLUSTER_CONFIG, "access_token": "t"}).json()
    versions = client.get("/versions").json()["versions"]
    images = [image for found in members(run).values() for image in found]
    made = {each["model_version"] for each in ask(client, [image_task(image) for image in images])}
    assert made == {setup["model_version"]} == set(versions)
    assert setup["model_version"].startswith("shoal-")
    with TestClient(application(Options(str(run.store.root.uri)))) as again:
        assert again.post("/setup", json={}).json() == setup


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"7", b"\xff\xfe", b"[" * 100_000, b'{"tasks": {}}'])
def test_rubbish_is_refused_with_one_sentence(client: TestClient, body: bytes) -> None:
    answer = client.post("/predict", content=body)
    assert answer.status_code == 400
    assert ";" in answer.json()["error"]


@given(data=JSON, config=st.text(max_size=80))
def test_no_task_and_no_configuration_raises(small_run: Snapshot, data: Any, config: str) -> None:
    made = predict({"data": data}, small_run, read_config(config))
    assert isinstance(made, Prediction | Unseen)
    for task in (data, {"data": data}):
        found = predict(task, small_run, SHOAL)
        assert isinstance(found, Unseen) or 0 <= found.score <= 1


@pytest.fixture(scope="module")
def small_run(small_store: Path) -> Snapshot:
    """What the run says."""
    import shoal

    return take(shoal.open(small_store / "out"))


@pytest.mark.parametrize(
    "text", ["<View>" * 3000, '<!DOCTYPE a [<!ENTITY b "c">]><View/>', "no xml", "<View", "<View>" * 2000 + "</View>" * 2000]
)
def test_a_hostile_configuration_has_no_controls(text: str) -> None:
    assert not read_config(text).controls


def test_half_a_surrogate_pair_costs_nobody_else_a_prediction(client: TestClient, run: Run) -> None:
    odd = {"id": 9, "data": {"image": "http://h\ud800/x.jpg"}}
    asked = {"tasks": [odd, cluster_task(run, 0, members(run)[0])], "project": "7.1", "label_config": CLUSTER_CONFIG}
    answer = client.post("/predict", content=json.dumps(asked))
    results = answer.json()["results"]
    assert results[0]["result"] == []
    assert results[1]["result"]
