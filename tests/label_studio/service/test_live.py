"""Live predictions: images that the run has not seen are embedded and put beside its clusters."""

import contextlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from shoal.catalogue import Run
from shoal.contract import Batch, Context
from shoal.images import read
from shoal.vectors import to_numpy, unit_length
from shoal_ls.service.serving import Options, application
from shoal_plugins.embed.lite0 import Lite0
from tests.label_studio.service.conftest import ask, image_task, members

UNSEEN = 3


@pytest.fixture
def unseen(small_store: Path) -> Iterator[list[Path]]:
    """Pictures below the run's source that came after it: one in each of the three colours of its clusters."""
    made = []
    for place in range(UNSEEN):
        noise = np.random.default_rng(100 + place).integers(0, 120, (48, 64, 3), dtype=np.uint8)
        noise[..., place] += 120
        made.append(small_store / "photos" / f"new {place}.png")
        Image.fromarray(noise).save(made[-1])
    yield made
    for path in made:
        path.unlink(missing_ok=True)


@pytest.fixture
def setups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the threads in which the embedder's own `setup` was called, which goes on as it is."""
    called: list[str] = []
    before = Lite0.setup

    def counted(self: Lite0, context: Context) -> None:
        called.append(threading.current_thread().name)
        before(self, context)

    monkeypatch.setattr(Lite0, "setup", counted)
    return called


def test_an_unseen_image_gets_the_clusters_nearest_to_it_with_their_cosines(
    client: TestClient, run: Run, unseen: list[Path]
) -> None:
    results = ask(client, [image_task(str(path)) for path in unseen])
    stage = Lite0()
    stage.setup(Context())
    vectors = unit_length(to_numpy(run.table("embed")["embedding"]))
    ids = run.table("embed")["id"].to_pylist()
    for path, result in zip(unseen, results, strict=True):
        pixels = read(path.read_bytes(), [stage.pixels]).images
        vector = unit_length(stage.embed(pixels))[0]
        likeness = {
            cluster: float(unit_length(vectors[[ids.index(image) for image in images]].mean(axis=0)[None])[0] @ vector)
            for cluster, images in members(run).items()
        }
        best = max(likeness, key=lambda cluster: likeness[cluster])
        assert result["result"][0]["value"]["choices"] == [f"cluster:{best}"]
        assert result["score"] == pytest.approx(likeness[best], abs=1e-3)
        assert {row["cluster"]: row["score"] for row in result["ranked"]} == pytest.approx(likeness, abs=1e-3)


def test_the_model_is_set_up_once_in_a_process_over_many_requests(out: Path, unseen: list[Path], setups: list[str]) -> None:
    with TestClient(application(Options(str(out)))) as client:
        assert len(setups) == 1, "loaded when the process started to serve"
        threads = [
            threading.Thread(target=ask, args=(client, [image_task(str(path)) for path in unseen])) for _ in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.post("/setup", json={})
        assert "shoal_model_setups_total 1.0" in client.get("/metrics").text
    assert len(setups) == 1


def test_an_embedder_that_cannot_be_set_up_is_not_tried_for_every_request(
    out: Path, run: Run, unseen: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def broken(self: Lite0, context: Context) -> None:
        tries.append(1)
        raise OSError("no weights")

    monkeypatch.setattr(Lite0, "setup", broken)
    with TestClient(application(Options(str(out)))) as client:
        for _ in range(3):
            live, stored = ask(client, [image_task(str(unseen[0])), image_task(members(run)[0][0])])
            assert (live["result"], live["score"]) == ([], 0)
            assert "no weights" in live["reason"]
            assert stored["result"], "the store answers all the same"
    assert len(tries) == 1


def test_a_copy_of_an_image_of_the_run_is_that_image(client: TestClient, run: Run, small_store: Path) -> None:
    image, path = (run.images[column].to_pylist()[0] for column in ("id", "path"))
    copy = small_store / "photos" / "copy.bin"
    copy.write_bytes(Path(path).read_bytes())
    try:
        result = ask(client, [image_task(str(copy))])[0]
    finally:
        copy.unlink()
    cluster = next(cluster for cluster, images in members(run).items() if image in images)
    assert result["result"][0]["value"]["choices"] == [f"cluster:{cluster}"]
    assert len(result["ranked"]) == 1, "what the run says, not what the embedder says"


def test_hostile_images_cost_their_own_task_only(client: TestClient, small_store: Path, unseen: list[Path]) -> None:
    folder = small_store / "photos"
    bomb = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    hostile = {"text.jpg": b"no image", "empty.png": b"", "cut.jpg": b"\xff\xd8\xff\xe0 cut", "bomb.png": bomb.getvalue()}
    for name, data in hostile.items():
        (folder / name).write_bytes(data)
    try:
        tasks = [image_task(str(folder / name)) for name in hostile]
        results = ask(client, [image_task(str(unseen[0])), *tasks, image_task(str(unseen[1]))])
    finally:
        for name in hostile:
            (folder / name).unlink()
    assert results[0]["result"]
    assert results[-1]["result"]
    for result in results[1:-1]:
        assert (result["result"], result["score"]) == ([], 0)
        assert result["reason"]


def test_as_much_live_work_waits_as_may_and_the_next_request_is_told_to_come_again(
    out: Path, run: Run, unseen: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go_on = threading.Event(), threading.Event()
    before = Lite0.map

    def slow(self: Lite0, batch: Batch) -> Any:
        inside.set()
        assert go_on.wait(60)
        return before(self, batch)

    monkeypatch.setattr(Lite0, "map", slow)
    monkeypatch.setattr("shoal_ls.service.serving.LIVE_REQUESTS", 1)
    with TestClient(application(Options(str(out)))) as client, contextlib.ExitStack() as last:
        made: list[Any] = []
        first = threading.Thread(target=lambda: made.extend(ask(client, [image_task(str(unseen[0]))])))
        first.start()
        last.callback(first.join)
        last.callback(go_on.set)
        assert inside.wait(30)
        refused = client.post("/predict", json={"tasks": [image_task(str(unseen[1]))]})
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert "too many images wait" in refused.json()["error"]
        assert ask(client, [image_task(members(run)[0][0])])[0]["result"], "the store answers meanwhile"
        assert "shoal_live_refused_total 1.0" in client.get("/metrics").text
        go_on.set()
        first.join(30)
        assert made[0]["result"], "who was inside is served"
        assert ask(client, [image_task(str(unseen[1]))])[0]["result"], "and then there is room again"
