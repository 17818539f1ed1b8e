"""Heads learn from decisions on real embeddings, take over only where they are better, and are taken back."""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient

import shoal
from shoal.decisions import Answer, Change, Decisions
from shoal.errors import StoreError, UsageError
from shoal.host import Host
from shoal.pipeline import parse
from shoal.reviewing import make_version, undo
from shoal_ls.learning import Heads, current_head, rollback, train, train_in_background
from shoal_ls.learning.examples import examples, is_held
from shoal_ls.learning.features import embeddings
from shoal_ls.learning.heads import BusyError

PIPELINE = """\
shoal: 1
name: photographs
steps:
  - use: index.folder
  - use: embed.lite0
  - use: reduce.pca
    from: embed
    with: {components: 16}
  - use: cluster.kmeans
    from: reduce
    with: {k: 8}
"""
Wanted = Callable[[str, int], int]
"""Says where an image belongs, by the name of its folder and its cluster."""


@pytest.fixture(scope="session")
def photographs(photo_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photo set in eight clusters of k-means on real embeddings."""
    out, host = tmp_path_factory.mktemp("learning") / "out", Host()
    shoal.run(parse(PIPELINE, host), photo_set, out, host=host, options=shoal.RunOptions(where="local"))
    return out


@pytest.fixture
def run(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> shoal.Run:
    monkeypatch.setenv("SHOAL_MLFLOW", "off")
    return shoal.open(shutil.copytree(photographs, tmp_path / "out"))


def by_folder(run: shoal.Run) -> Wanted:
    """Each folder's images belong into the cluster that holds most of them: that contradicts k-means in many places."""
    counts: dict[str, list[int]] = defaultdict(list)
    for row in run.joined(["path", "cluster"]).to_pylist():
        counts[Path(row["path"]).parent.name].append(row["cluster"])
    most = {folder: max(set(found), key=found.count) for folder, found in counts.items()}
    return lambda folder, cluster: most[folder]


def decide(run: shoal.Run, wanted: Wanted, at: int = 0, part: Callable[[str], bool] = lambda image: True) -> int:
    """Say of each image where it belongs, a task a cluster; return how many were spoken of."""
    said: dict[int, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in run.look(0).joined(["path", "cluster"]).to_pylist():
        if part(row["id"]):
            said[row["cluster"]][wanted(Path(row["path"]).parent.name, row["cluster"])].append(row["id"])
    answers = []
    for cluster, goals in said.items():
        kept = [Change(kind="keep", cluster=cluster, images=tuple(ids)) for to, ids in goals.items() if to == cluster]
        moved = [
            Change(kind="move", cluster=cluster, to=to, images=tuple(ids)) for to, ids in goals.items() if to != cluster
        ]
        when = f"2026-01-01T00:{at:02d}:00.000Z"
        answers.append(
            Answer(
                run=run.id,
                surface="s",
                key=str(cluster),
                at=when,
                task=f"cluster:{cluster}",
                who="ann",
                changes=(*kept, *moved),
            )
        )
    Decisions.of(run.store).record(answers)
    assert make_version(run).version
    return sum(len(ids) for goals in said.values() for ids in goals.values())


@pytest.mark.slow
def test_a_head_beats_centroids_where_people_contradict_them(run: shoal.Run) -> None:
    assert current_head(run.store, run.id) is None
    decided = decide(run, by_folder(run))
    done = train(run)
    record = done.head.record
    assert record.rival == "nearest centroid"
    assert record.accuracy > record.rival_accuracy
    assert record.decided == record.fitted + record.held == decided
    assert done.current
    head = current_head(run.store, run.id)
    assert head
    assert head.version == done.head.version
    assert head.version.startswith("head-1-")
    held = sorted(image for image in run.images["id"].to_pylist() if is_held(image))
    classes, shares = head.probabilities(embeddings(run, held))
    assert shares.shape == (len(held), len(classes))
    assert np.allclose(shares.sum(axis=1), 1)
    now = dict(zip(*(run.look().joined(["cluster"])[name].to_pylist() for name in ("id", "cluster")), strict=True))
    right = np.mean([classes[row.argmax()] == now[image] for image, row in zip(held, shares, strict=True)])
    assert right == pytest.approx(record.accuracy)


@pytest.mark.slow
def test_the_same_decisions_give_the_same_weights(run: shoal.Run, tmp_path: Path) -> None:
    decide(run, by_folder(run))
    twin = shoal.open(shutil.copytree(Path(run.store.root.uri), tmp_path / "twin"))
    assert train(run).head.version == train(twin).head.version


@pytest.mark.slow
def test_a_head_has_to_beat_the_one_before_and_is_taken_back(run: shoal.Run) -> None:
    wanted = by_folder(run)
    decide(run, wanted, part=lambda image: not is_held(image) or image < "8")
    assert train(run).current
    with pytest.raises(UsageError, match=r"made of these .* already"):
        train(run)
    decide(run, lambda folder, cluster: (wanted(folder, cluster) + 1) % 8, at=1)  # they changed their minds
    second = train(run)
    assert second.head.record.rival == "head 1"
    assert second.current
    assert rollback(run.store, run.id) == (2, 1)
    head = current_head(run.store, run.id)
    assert head
    assert head.record.number == 1
    assert rollback(run.store, run.id) == (1, 0)
    assert current_head(run.store, run.id) is None
    with pytest.raises(UsageError, match="no trained head"):
        rollback(run.store, run.id)
    assert [record.number for record in Heads(run.store, run.id).records()] == [1, 2]


@pytest.mark.slow
def test_a_head_that_is_no_better_stays_behind(run: shoal.Run) -> None:
    folders = {row["id"]: Path(row["path"]).parent.name for row in run.images.select(["id", "path"]).to_pylist()}
    decide(run, lambda folder, cluster: cluster, part=lambda image: folders[image] in ("fishes", "tools"))
    done = train(run)
    assert done.head.record.accuracy <= done.head.record.rival_accuracy
    assert not done.current
    assert "no better, so nearest centroid stays" in done.told
    assert current_head(run.store, run.id) is None
    assert len(Heads(run.store, run.id).records()) == 1


@pytest.mark.slow
def test_merged_clusters_are_one_and_undone_decisions_are_none(run: shoal.Run) -> None:
    decide(run, lambda folder, cluster: cluster)
    merge = Change(kind="merge", cluster=7, to=0)
    answer = Answer(
        run=run.id, surface="s", key="m", at="2026-01-01T01:00:00.000Z", task="cluster:7", who="bob", changes=(merge,)
    )
    Decisions.of(run.store).record([answer])
    assert make_version(run).version
    assert 7 not in train(run).head.classes
    undo(run)
    undo(run)
    with pytest.raises(UsageError, match="has 0 decisions"):
        train(run)


@pytest.mark.slow
def test_too_few_decisions_and_one_cluster_are_told(run: shoal.Run) -> None:
    with pytest.raises(UsageError, match=r"has 0 decisions .*needs 10 decisions"):
        train(run)
    decide(run, lambda folder, cluster: 0)
    with pytest.raises(UsageError, match="for one cluster"):
        train(run)


@pytest.mark.slow
def test_training_runs_in_a_process_of_its_own_when_it_is_due(run: shoal.Run) -> None:
    assert train_in_background(run) is None
    decide(run, by_folder(run))
    process = train_in_background(run)
    assert process is not None
    assert process.wait(120) == 0
    assert "held-out decisions" in (Path(run.store.root.uri) / "heads" / run.id / "train.log").read_text()
    assert current_head(run.store, run.id)
    assert train_in_background(run) is None  # nothing new since


@pytest.mark.slow
def test_two_never_train_at_once(run: shoal.Run) -> None:
    decide(run, by_folder(run))
    with Heads(run.store, run.id).alone(), pytest.raises(BusyError, match="already"):
        train(run)


@pytest.mark.slow
def test_damaged_weights_are_told_and_can_be_taken_back(run: shoal.Run) -> None:
    decide(run, by_folder(run))
    train(run)
    weights = Path(run.store.root.uri) / "heads" / run.id / "1" / "head.npz"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(StoreError, match="is damaged; `shoal review rollback`"):
        current_head(run.store, run.id)
    rollback(run.store, run.id)
    assert current_head(run.store, run.id) is None


@pytest.mark.slow
def test_a_training_is_tracked(run: shoal.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    decide(run, by_folder(run))
    monkeypatch.delenv("SHOAL_MLFLOW")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    record = train(run).head.record
    client = MlflowClient(tracking_uri=f"sqlite:///{run.store.root.uri}/mlflow.db")
    experiment = client.get_experiment_by_name("shoal")
    (logged,) = client.search_runs([experiment.experiment_id], filter_string=f"tags.`shoal.run` = '{run.id}-head-1'")
    assert logged.data.metrics["accuracy"] == pytest.approx(record.accuracy)


@pytest.mark.slow
def test_the_commands_train_and_roll_back(run: shoal.Run, shoal: Callable[..., object]) -> None:
    decide(run, by_folder(run))
    out = run.store.root.uri
    said = json.loads(shoal("review", "train", out, "--json").stdout)  # type: ignore[attr-defined]
    assert (said["number"], said["current"]) == (1, True)
    assert "nearest centroids" in shoal("review", "rollback", out).stdout  # type: ignore[attr-defined]
    assert "no trained head" in shoal("review", "rollback", out, code=2).stderr  # type: ignore[attr-defined]


HASHES = st.integers(0, 2**64).map(lambda number: f"{number:064x}")
ROWS = st.dictionaries(
    HASHES, st.tuples(st.integers(-1, 4), st.sampled_from([None, "keep", "move", "confirm", "split", "noise", "reject"]))
)


@given(rows=ROWS, more=ROWS)
def test_what_is_held_out_is_never_fitted_to_whatever_is_decided_later(
    rows: dict[str, tuple[int, str | None]], more: dict[str, tuple[int, str | None]]
) -> None:
    before, after = (examples(_table(found)) for found in (rows, {**rows, **more}))
    assert not set(before.held) & set(after.fitted)
    assert not set(before.fitted) & set(after.held)
    for found in (before, after):
        assert not (set(found.fitted) | set(found.held)) & set(found.background)
        assert -1 not in {**found.fitted, **found.held, **found.background}.values()
    decided = {
        image for image, (cluster, kind) in rows.items() if cluster >= 0 and kind in ("keep", "move", "confirm", "split")
    }
    assert set(before.fitted) | set(before.held) == decided


@given(rows=ROWS, most=st.integers(1, 3))
def test_background_is_bounded_for_each_cluster(rows: dict[str, tuple[int, str | None]], most: int) -> None:
    found = list(examples(_table(rows), most=most).background.values())
    assert all(found.count(cluster) <= most for cluster in found)


def _table(rows: dict[str, tuple[int, str | None]]) -> pa.Table:
    kinds = pa.array([kind for _, kind in rows.values()], pa.string())
    clusters = pa.array([cluster for cluster, _ in rows.values()], pa.int32())
    return pa.table({"id": pa.array(list(rows), pa.string()), "cluster": clusters, "decided": kinds})


def test_a_share_of_images_is_held_out() -> None:
    held = sum(is_held(f"{number:064x}") for number in range(4000))
    assert 900 < held < 1100
