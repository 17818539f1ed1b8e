"""A head that was learnt from decisions says which cluster an image is of, until it is taken back."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

import shoal
from shoal.catalogue import Run
from shoal.decisions import Answer, Change, Decisions
from shoal.host import Host
from shoal.reviewing import make_version
from shoal.runner import RunOptions
from shoal.store import Store
from shoal_ls.learning import HeadRecord, Heads, current_head, rollback
from shoal_ls.learning.features import embedder
from shoal_ls.learning.head import packed
from shoal_ls.model_version import model_version
from shoal_ls.service import current as currents
from shoal_ls.service.controls import read_config
from shoal_ls.service.current import Current
from shoal_ls.service.predicting import Prediction, predict
from shoal_ls.service.serving import Options, application
from shoal_ls.service.snapshot import Snapshot
from tests.cli.conftest import pictures
from tests.label_studio.service.conftest import CHOICE_CONFIG, image_task, members, wait_until

pytestmark = pytest.mark.processes

OPINION = 2
"""The cluster that the test's head takes every image for."""


def promote(run: Run) -> None:
    """Make a head current that knows one answer."""
    made = embedder(run)
    size = len(run.table(made.step)["embedding"][0])
    bias = np.array([0, 0, 3], np.float32)
    data = packed(np.arange(3, dtype=np.int32), np.zeros((3, size), np.float32), bias)
    record = HeadRecord(
        run=run.id, number=1, made="2026-01-01T00:00:00.000Z", step=made.step, fingerprint=made.fingerprint, digest="d",
        decided=9, fitted=6, held=3, background=0, accuracy=1, rival="nearest centroid", rival_accuracy=0,
        weights=hashlib.sha256(data).hexdigest(),
    )  # fmt: skip
    heads = Heads(run.store, run.id)
    heads.add(record, data)
    heads.promote(1)


def chosen(snapshot: Snapshot, image: str) -> tuple[str, float]:
    made = predict(image_task(image), snapshot, read_config(CHOICE_CONFIG))
    assert isinstance(made, Prediction)
    return made.result[0]["value"]["choices"][0], made.score


def test_predictions_follow_a_head_and_go_back_with_it(out: Path, run: Run) -> None:
    followed = Current(Store.open(out), Host(), run.id)
    image = members(run)[0][0]
    plain = followed.snapshot
    assert chosen(plain, image)[0] == "cluster:0"
    promote(run)
    assert followed.refresh()
    taught = followed.snapshot
    assert taught.head is not None
    assert taught.version == model_version(run, taught.head.version) != plain.version
    share = float(np.exp(3) / (np.exp(3) + 2))
    assert chosen(taught, image) == (f"cluster:{OPINION}", round(share, 4))
    vectors = np.ones((1, taught.neighbours.centroids.shape[1]), np.float32)
    assert taught.neighbours.rank(vectors)[0][0].cluster == OPINION, "live images are asked about of the head, too"
    rollback(run.store, run.id)
    assert followed.refresh()
    assert followed.snapshot.version == plain.version
    assert chosen(followed.snapshot, image)[0] == "cluster:0"


def test_a_head_is_trained_by_itself_after_enough_decisions_and_served(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(currents, "SECONDS", 0.1)
    monkeypatch.setenv("SHOAL_MLFLOW", "off")
    pictures(tmp_path / "photos", 60)
    run = shoal.run(small_store / "small.yaml", tmp_path / "photos", tmp_path / "out", options=RunOptions(where="local"))
    images = members(run)
    moves = [Change(kind="move", cluster=0, images=(image,), to=1) for image in images[0][::2]]
    keeps = [Change(kind="keep", cluster=number, images=tuple(images[number])) for number in (1, 2)]
    with TestClient(application(Options(str(tmp_path / "out")))) as client:
        before = client.post("/setup", json={}).json()["model_version"]
        at = "2026-01-01T00:00:00.000Z"
        answer = Answer(run=run.id, surface="s", key="1", at=at, task="cluster:0", changes=(*moves, *keeps))
        Decisions.of(run.store).record([answer])
        make_version(run)
        wait_until(lambda: Heads(run.store, run.id).records() != [], 90)
        (record,) = Heads(run.store, run.id).records()
        wait_until(lambda: (current_head(run.store, run.id) is not None) == record.better)  # it is put up after its record
        head = current_head(run.store, run.id)
        wanted = model_version(run.look(), head.version if head else "")
        wait_until(lambda: client.post("/setup", json={}).json()["model_version"] == wanted)
        assert wanted != before


def test_what_somebody_decided_counts_more_than_what_a_head_says(out: Path, run: Run) -> None:
    image, other = members(run)[0][:2]
    keep = Change(kind="keep", cluster=0, images=(image,))
    move = Change(kind="move", cluster=0, images=(members(run)[0][2],), to=1)
    at = "2026-01-01T00:00:00.000Z"
    Decisions.of(run.store).record([Answer(run=run.id, surface="s", key="1", at=at, task="cluster:0", changes=(keep, move))])
    make_version(run)
    promote(run)
    snapshot = Current(Store.open(out), Host(), run.id).snapshot
    assert chosen(snapshot, image)[0] == "cluster:0"
    assert chosen(snapshot, other)[0] == f"cluster:{OPINION}"
