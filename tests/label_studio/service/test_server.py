"""The real Label Studio asks the backend, keeps what it is told, and tells it what reviewers do."""

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import shoal
from shoal.catalogue import Run
from shoal.decisions import Decisions
from shoal.runner import Silent
from shoal_ls.client import Server
from shoal_ls.configs import configuration
from shoal_ls.connecting import BackendLogin, connect
from shoal_ls.model_version import model_version
from shoal_ls.projects import Opened, Options, open_review
from shoal_ls.tasks import image_tasks, read
from tests.label_studio.server import LabelStudio
from tests.label_studio.service.conftest import Process, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

USER, PASSWORD = "shoal", "pass w0rd"


@pytest.fixture
def reviewed(made_run: Run, label_studio: LabelStudio) -> Run:
    """A run below the server's document root."""
    folder = label_studio.files / secrets.token_hex(4)
    shutil.copytree(made_run.store.root.local_or_raise("a test"), folder)
    return shoal.open(folder)


@pytest.fixture
def backend(reviewed: Run, label_studio: LabelStudio, tmp_path: Path) -> Iterator[Process]:
    """`shoal serve` over it, with a password."""
    made = Process(
        reviewed.store.root.local_or_raise("a test"), tmp_path / "serve.log",
        ("--document-root", str(label_studio.files), "--label-studio", label_studio.url),
        {"SHOAL_BACKEND_USER": USER, "SHOAL_BACKEND_PASSWORD": PASSWORD, "LABEL_STUDIO_API_KEY": label_studio.token},
    )  # fmt: skip
    made.start()
    yield made
    made.end()


@pytest.fixture
def opened(reviewed: Run, server: Server, backend: Process) -> dict[str, Opened]:
    """Its projects, connected with the backend."""
    options = Options(project=secrets.token_hex(4), doubtful=4, backend=BackendLogin(backend.url, USER, PASSWORD))
    return {one.surface.kind: one for one in open_review(reviewed, server, options, Silent())}


def retrieve(server: Server, project: int) -> dict[int, list[dict[str, Any]]]:
    """Have Label Studio drop a project's predictions and ask the backend for all of them; return them by task."""
    for action in ("delete_tasks_predictions", "retrieve_tasks_predictions"):
        everything = {"selectedItems": {"all": True, "excluded": []}, "project": str(project)}
        server.ask("POST", "/api/dm/actions", action, everything, id=action, project=project)
    return {task["id"]: task["predictions"] for task in server.tasks(project)}


def images_project(run: Run, server: Server, backend: Process) -> int:
    """Make a project that asks about every image one by one, noise too, connected with the backend."""
    what = read(run)
    drafts = image_tasks(what, what.ids, lambda image: f"/data/local-files/?d={image}.jpg")
    project = int(server.create_project({"title": secrets.token_hex(4), "label_config": configuration("images")})["id"])
    numbers = server.import_tasks(project, [draft.task("s", run.id, run.base) for draft in drafts])
    said = [draft.prediction(number, "v") for number, draft in zip(numbers, drafts, strict=True)]
    assert server.import_predictions(project, said) == len(what.ids)
    connect(server, project, BackendLogin(backend.url, USER, PASSWORD))
    return project


def test_label_studio_takes_every_prediction_that_the_backend_makes(
    opened: dict[str, Opened], reviewed: Run, server: Server, backend: Process
) -> None:
    projects = {kind: int(one.surface.remote) for kind, one in opened.items()}
    projects["images"] = images_project(reviewed, server, backend)
    for kind, project in projects.items():
        pushed = {task["id"]: task["predictions"][0]["result"] for task in server.tasks(project)}
        found = retrieve(server, project)
        for number, predictions in found.items():
            assert len(predictions) == 1, f"{kind}: the backend's prediction was not taken"
            assert predictions[0]["result"] == pushed[number], f"{kind}: the backend says what `shoal review open` said"
            assert predictions[0]["model_version"] == model_version(reviewed)
    (connection,) = server.listed("/api/ml/", int(opened["clusters"].surface.remote), "list backends")
    assert connection["state"] == "CO"
    versions = server.ask("GET", f"/api/ml/{connection['id']}/versions", "list versions")
    assert versions["versions"] == [model_version(reviewed)]


def test_what_reviewers_do_becomes_decisions_without_polling(
    opened: dict[str, Opened], reviewed: Run, server: Server, label_studio: LabelStudio
) -> None:
    decisions = Decisions.of(reviewed.store)
    task = next(iter(server.tasks(int(opened["clusters"].surface.remote))))
    image = task["data"]["items"][0]["id"]
    others = [item["id"] for item in task["data"]["items"][1:]]
    result: list[dict[str, Any]] = [
        {"from_name": "verdict", "to_name": "ctx", "type": "choices", "value": {"choices": ["edit"]}},
        {"from_name": "cluster_label", "to_name": "ctx", "type": "textarea", "value": {"text": ["mine"]}},
        {
            "from_name": "assign",
            "to_name": "imgs",
            "type": "ranker",
            "value": {"ranker": {"keep": others, "noise": [image]}},
        },
    ]
    number = label_studio.annotate(task["id"], result)
    wait_until(lambda: len(decisions.answers(reviewed.id)) == 1)
    answer = decisions.answers(reviewed.id)[0]
    assert (answer.key, answer.task) == (str(number), task["data"]["shoal_task"])
    assert {change.kind for change in answer.changes} == {"keep", "noise", "rename"}
    result[1]["value"] = {"text": ["yours"]}
    server.ask("PATCH", f"/api/annotations/{number}/", "change it", {"result": result})
    wait_until(lambda: any(change.label == "yours" for change in decisions.answers(reviewed.id)[0].changes))
    label_studio.call("DELETE", f"/api/annotations/{number}/")
    wait_until(lambda: decisions.answers(reviewed.id) == [])
    assert [each.deleted for each in decisions.revisions(reviewed.id)] == [False, False, True]


def test_images_that_the_run_has_not_seen_are_predicted_live_from_the_server_and_the_document_root(
    reviewed: Run, backend: Process, server: Server, label_studio: LabelStudio
) -> None:
    offered = "".join(f'<Choice value="cluster:{number}"/>' for number in reviewed.table("label")["cluster"].to_pylist())
    config = f'<View><Image name="img" value="$image"/><Choices name="cls" toName="img">{offered}</Choices></View>'
    project = server.create_project({"title": secrets.token_hex(4), "label_config": config})["id"]
    connect(server, project, BackendLogin(backend.url, USER, PASSWORD))
    pixels = np.random.default_rng(77).integers(0, 120, (48, 64, 3), dtype=np.uint8)
    pixels[..., 1] += 120
    local = label_studio.files / f"{secrets.token_hex(4)} new.png"
    Image.fromarray(pixels).save(local)
    with local.open("rb") as file:
        made = label_studio.call("POST", f"/api/projects/{project}/import", files={"file": ("sent.png", file, "image/png")})
    assert made.status_code == 201, made.text
    wait_until(lambda: any(server.tasks(project)))
    sent = next(iter(server.tasks(project)))["data"]["image"]
    assert sent.startswith("/data/upload/")
    places = [sent, f"/data/local-files/?d={local.name.replace(' ', '%20')}", "http://169.254.169.254/x.png"]
    ids = server.import_tasks(project, [{"data": {"image": place}} for place in places])
    found = retrieve(server, project)
    first, second, third = (found[number][0] for number in ids)
    assert first["result"] == second["result"] != []
    assert first["score"] == second["score"] > 0.5
    assert (third["result"], third["score"]) == ([], 0)
