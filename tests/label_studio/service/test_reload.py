"""Predictions follow the newest version of the run without a restart, each with the version that it was made from."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import shoal
from shoal.catalogue import Run
from shoal.decisions import Answer, Change, Decisions
from shoal.errors import UsageError
from shoal.host import Host
from shoal.reviewing import make_version, undo
from shoal.runner import RunOptions
from shoal.store import Store
from shoal_ls.model_version import model_version
from shoal_ls.service import current as currents
from shoal_ls.service.controls import SHOAL
from shoal_ls.service.current import Current
from shoal_ls.service.predicting import Prediction, predict
from shoal_ls.service.serving import Options, application
from tests.cli.conftest import PIPELINE
from tests.label_studio.service.conftest import CLUSTER_CONFIG, ask, cluster_task, image_task, members, wait_until

pytestmark = pytest.mark.processes


def decide(run: Run, *changes: Change) -> None:
    """Record an answer and make a version of it."""
    Decisions.of(run.store).record(
        [Answer(run=run.id, surface="s", key="1", at="2026-01-01T00:00:00.000Z", task="cluster:0", changes=changes)]
    )
    make_version(run)


def follow(out: Path, run: str | None = None) -> Current:
    """What a backend serves, looked after by hand."""
    return Current(Store.open(out), Host(), run)


def test_a_new_version_is_served_while_requests_go_on(out: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(currents, "SECONDS", 0.05)
    clusters = members(run)
    image = clusters[0][0]
    with TestClient(application(Options(str(out)))) as client:
        before = ask(client, [image_task(image)])[0]
        decide(
            run, Change(kind="move", cluster=0, images=(image,), to=1), Change(kind="rename", cluster=0, label="<b>new</b>")
        )
        wait_until(lambda: ask(client, [image_task(image)])[0]["model_version"] != before["model_version"])
        after, cluster = (
            ask(client, [image_task(image)])[0],
            ask(client, [cluster_task(run, 0, clusters[0], alt1=1)], CLUSTER_CONFIG)[0],
        )
        assert after["result"][0]["value"]["choices"] == ["cluster:1"]
        said = {region["from_name"]: region["value"] for region in cluster["result"]}
        assert said["cluster_label"]["text"] == ["<b>new</b>"]
        assert said["assign"]["ranker"]["alt1"] == [image]
        assert {after["model_version"], cluster["model_version"]} == {client.post("/setup", json={}).json()["model_version"]}
        assert after["model_version"] == model_version(run.look())
        assert "shoal_reloads_total 1.0" in client.get("/metrics").text
        undo(run.look())
        wait_until(lambda: ask(client, [image_task(image)])[0] == before)


def test_nothing_is_read_anew_while_nothing_is_newer(out: Path) -> None:
    followed = follow(out)
    snapshot = followed.snapshot
    assert not followed.refresh()
    assert followed.snapshot is snapshot


def test_the_last_run_that_ended_well_is_served_unless_one_is_named(
    out: Path, run: Run, small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_MLFLOW", "off")
    followed, pinned = follow(out), follow(out, run.id)
    second = shoal.run(
        small_store / "small.yaml", small_store / "photos", out, overrides=["cluster.k=2"], options=RunOptions(where="local")
    )
    assert followed.refresh()
    assert not pinned.refresh()
    assert (followed.snapshot.run.id, pinned.snapshot.run.id) == (second.id, run.id)
    assert followed.snapshot.version != pinned.snapshot.version


def test_a_run_that_can_not_be_served_is_refused_before_anything_starts(
    out: Path, tmp_path: Path, small_store: Path
) -> None:
    with pytest.raises(UsageError, match="no run begins with"):
        follow(out, "nonesuch")
    pipeline = tmp_path / "index.yaml"
    pipeline.write_text(PIPELINE.partition("  - use: embed")[0])
    shoal.run(pipeline, small_store / "photos", tmp_path / "bare", options=RunOptions(where="local"))
    with pytest.raises(UsageError, match="no clusters to predict"):
        follow(tmp_path / "bare")


def test_what_is_served_stays_where_the_newest_can_not_be_read(out: Path, run: Run) -> None:
    followed = follow(out)
    decide(run, Change(kind="rename", cluster=0, label="new"))
    before = followed.snapshot
    for table in (run.folder.local_or_raise("a test") / "reviews").rglob("*.parquet"):
        table.write_bytes(b"damaged")
    with pytest.raises(Exception, match="damaged"):
        followed.refresh()
    assert followed.snapshot is before


def test_what_somebody_decided_is_said_of_an_image_whatever_it_is_like(run: Run) -> None:
    image = members(run)[0][0]
    decide(run, Change(kind="noise", cluster=0, images=(image,)))
    snapshot = follow(Path(run.store.root.uri)).snapshot
    data = image_task(image)["data"] | {
        "shoal_surface": "s", "shoal_run": run.id, "shoal_task": f"image:{image}", "doubt": 0.9,
    }  # fmt: skip
    made = predict({"data": data}, snapshot, SHOAL)
    assert isinstance(made, Prediction)
    assert made.result[0]["value"] == {"choices": ["noise"]}
    assert made.score == 0.1
