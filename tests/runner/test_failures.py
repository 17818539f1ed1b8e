"""No row disappears: filtered is not failed, both have a reason, and the sum is the input."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from shoal.errors import RunFailed, UsageError
from shoal.host import Host

from .conftest import PIPELINE, Go, computed, save

pytestmark = pytest.mark.processes


def reasons(run: object) -> dict[str, tuple[str, str, str]]:
    rows = run.rejected.to_pylist()  # type: ignore[attr-defined]
    return {Path(row["path"]).name: (row["step"], row["status"], row["reason"]) for row in rows}


def test_filtered_and_failed_files_are_told_apart(go: Go, photos: Path) -> None:
    (photos / "notes.txt").write_text("hello")
    (photos / "not.jpg").write_text("hello")
    whole = (photos / "a" / "p0001.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    run = go()
    found = reasons(run)
    assert found["notes.txt"][:2] == ("index", "filtered")
    assert found["not.jpg"][:2] == ("index", "failed")
    assert found["cut.jpg"][:2] == ("embed", "failed")
    assert all(reason for *_, reason in found.values())
    assert (run.record.files, run.record.accepted, run.record.rejected) == (27, 24, 3)
    assert run.table("cluster").num_rows == 24


def test_a_bad_image_is_remembered_and_not_tried_again(go: Go, photos: Path) -> None:
    whole = (photos / "a" / "p0001.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    go()
    again = go()
    assert computed(again)["embed"] == 0
    assert reasons(again)["cut.jpg"][1] == "failed"


def test_a_stage_that_raises_on_one_row_costs_that_row_only_and_is_tried_again(go: Go) -> None:
    first = go()
    victim = first.images["id"][3].as_py()
    text = PIPELINE.replace("embed.colours", f"embed.colours\n    with: {{stop_at: {victim}}}")
    # Another side makes another fingerprint, of which nothing is kept.
    run = go(text, overrides=("embed.side=8",))
    assert run.record.rejected == 1
    assert next(iter(reasons(run).values())) == ("embed", "failed", "ValueError: this picture upsets me")
    healed = go(overrides=("embed.side=8",))
    assert (computed(healed)["embed"], healed.record.rejected) == (1, 0)


def test_too_many_failures_fail_the_run_loudly(go: Go, photos: Path) -> None:
    whole = (photos / "a" / "p0001.jpg").read_bytes()
    for number in range(6):
        (photos / f"cut{number}.jpg").write_bytes(whole[: len(whole) // 2 + number])
    with pytest.raises(RunFailed, match=r"6 of 30 images failed, over max_failed=0.1; the first at step 'embed'"):
        go(overrides=("max_failed=0.1",))
    assert go(overrides=("max_failed=0.5",)).record.status == "done"


def test_a_file_that_vanishes_during_the_run_is_not_held_against_its_bytes(go: Go, photos: Path, host: Host) -> None:
    from shoal_plugins.index.folder import FolderIndexer as Folder

    victim = save(photos, 55)
    kept = victim.read_bytes()
    go()
    victim.unlink()
    # A listing that still names the file: what a slow walk over a network folder gives.
    import pyarrow as pa

    from shoal.kinds import LISTING

    class Stale(Folder):
        name = "stale"

        def list_files(self, source: str):  # type: ignore[no-untyped-def]
            yield from super().list_files(source)
            yield pa.Table.from_pylist([{"path": str(victim), "bytes": 1, "mtime_ns": 1}], schema=LISTING)

    host.stages["index", "stale"] = Stale
    try:
        run = go(PIPELINE.replace("index.folder", "index.stale"))
    finally:
        del host.stages["index", "stale"]
    assert reasons(run)[victim.name][:2] == ("index", "failed")
    victim.write_bytes(kept)
    assert go().record.rejected == 0


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("columns", "answered the columns"),
        ("type", "answered cluster as float"),
        ("twice", "answered some id twice"),
        ("stranger", "answered a id that it was not shown"),
    ],
)
def test_a_stage_that_breaks_its_contract_is_named(go: Go, how: str, message: str) -> None:
    text = PIPELINE.replace("cluster.split", f"cluster.liar\n    with: {{how: {how}}}")
    with pytest.raises(RunFailed, match=f"step 'cluster' failed: cluster.liar {message}"):
        go(text)


def test_weights_that_are_missing_are_one_sentence(go: Go) -> None:
    with pytest.raises(
        RunFailed, match=r"^step 'embed' failed: the weights of embed.colours are missing; run `paint` first$"
    ):
        go(PIPELINE.replace("embed.colours", "embed.colours\n    with: {broken: true}"))


def test_a_failed_run_is_in_the_catalogue_with_its_error(go: Go, tmp_path: Path) -> None:
    from shoal.catalogue import runs
    from shoal.store import Store

    with pytest.raises(RunFailed):
        go(PIPELINE.replace("cluster.split", "cluster.liar"))
    record = runs(Store.open(tmp_path / "out"))[-1]
    assert record.status == "failed"
    assert "cluster.liar answered the columns" in record.error


@pytest.mark.parametrize(("stage", "status"), [("cluster.split", "done"), ("cluster.liar", "failed")])
def test_who_reads_a_run_does_not_wait_for_ray_to_end(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, status: str
) -> None:
    from shoal.catalogue import runs
    from shoal.runner.executors import Executor
    from shoal.store import Store

    found: list[str] = []

    def close(executor: Executor) -> None:
        found.extend(record.status for record in runs(Store.open(tmp_path / "out")))

    monkeypatch.setattr(Executor, "close", close)
    with nullcontext() if status == "done" else pytest.raises(RunFailed):
        go(PIPELINE.replace("cluster.split", stage))
    assert found == [status], "the record says how the run ended before its cluster is let go"


def test_ray_ends_where_the_run_can_not_be_settled(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    from shoal import api
    from shoal.runner.executors import Executor

    closed: list[Executor] = []

    def close(executor: Executor) -> None:
        closed.append(executor)

    def tell(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(Executor, "close", close)
    monkeypatch.setattr(api, "tell", tell)
    with pytest.raises(OSError, match="the disk is full"):
        go()
    assert len(closed) == 1


def test_empty_and_unreadable_sources_say_so(go: Go, photos: Path) -> None:
    import shutil

    for path in photos.iterdir():
        shutil.rmtree(path)
    with pytest.raises(UsageError, match="holds no file"):
        go()
    (photos / "a.txt").write_text("x")
    with pytest.raises(RunFailed, match=r"none of the 1 files of .* is an image that can be read; 1 of them: its extension"):
        go()


def test_an_unknown_step_to_force_is_wrong_use(go: Go) -> None:
    with pytest.raises(UsageError, match="--force names 'clutser', which is no step of small"):
        go(force=frozenset({"clutser"}))


def test_a_failed_run_says_which_images_failed(go: Go, photos: Path, tmp_path: Path, host: Host) -> None:
    from shoal.api import open as open_store

    whole = (photos / "a" / "p0001.jpg").read_bytes()
    for number in range(6):
        (photos / f"cut{number}.jpg").write_bytes(whole[: len(whole) // 2 + number])
    with pytest.raises(RunFailed):
        go(overrides=("max_failed=0.1",))
    from shoal.catalogue import runs
    from shoal.store import Store

    failed = open_store(tmp_path / "out", runs(Store.open(tmp_path / "out"))[-1].id, host=host)
    assert {name for name, (step, *_) in reasons(failed).items() if step == "embed"} == {f"cut{n}.jpg" for n in range(6)}
    assert (failed.record.files, failed.record.accepted, failed.record.rejected) == (30, 24, 6)
    assert failed.table("embed").num_rows == 24


def test_no_image_that_survives_is_a_run_without_rows(go: Go, photos: Path) -> None:
    whole = (photos / "a" / "p0001.jpg").read_bytes()
    for path in photos.rglob("*.jpg"):
        path.unlink()
    for number in range(4):
        (photos / f"cut{number}.jpg").write_bytes(whole[: len(whole) // 2 + number])
    run = go(PIPELINE.partition("  - use: reduce")[0] + "  - use: measure.brightness\n", overrides=("max_failed=1",))
    assert (run.record.accepted, run.record.rejected) == (0, 4)
    assert run.table("embed").num_rows == 0


def test_a_clusterer_that_leaves_images_out_is_named(go: Go) -> None:
    with pytest.raises(RunFailed, match="answered 23 of 24 images; this kind answers all of them"):
        go(PIPELINE.replace("cluster.split", "cluster.liar\n    with: {how: fewer}"))


def test_notes_of_any_kind_and_reasons_of_any_text_are_kept(go: Go) -> None:
    run = go(PIPELINE.replace("cluster.split", "cluster.liar\n    with: {how: notes}"))
    assert run.record.step("cluster").notes["eps"] == pytest.approx(0.3)
    victim = run.images["id"][0].as_py()
    bad = go(PIPELINE.replace("embed.colours", f"embed.colours\n    with: {{side: 8, stop_at: {victim}, says: '\\udcff'}}"))
    assert next(iter(reasons(bad).values()))[2].startswith("ValueError")


def test_one_image_is_one_view_of_one_item(go: Go, photos: Path) -> None:
    import shutil

    shutil.copy(photos / "a" / "p0001.jpg", photos / "copy.jpg")
    manifest = photos / "list.csv"
    manifest.write_text(
        "path,item,view\na/p0001.jpg,one,front\ncopy.jpg,two,back\na/p0003.jpg,three,front\na/p0003.jpg,three,front\n"
    )
    from shoal.api import run
    from shoal.host import Host
    from shoal.pipeline import parse
    from shoal.runner import RunOptions

    host = Host(builtins=("shoal_plugins.index.table", "tests.runner.stages"), allow=())
    text = PIPELINE.replace("index.folder", "index.table\n    with: {item: item, view: view}").partition("  - use: reduce")[
        0
    ]
    made = run(parse(text, host), manifest, photos.parent / "items", options=RunOptions(where="local"), host=host)
    assert [row["reason"] for row in made.rejected.to_pylist()] == [
        "its bytes are those of item 'one', view 'front'; an image is one view of one item"
    ]
    assert sorted(made.images["item"].to_pylist()) == ["one", "three"]
    assert [len(paths) for paths in made.images["paths"].to_pylist()] == [1, 1], "a path named twice is one path"


def test_of_several_steps_in_one_pass_the_one_that_failed_is_named(go: Go) -> None:
    text = PIPELINE.replace(
        "  - use: embed.colours", "  - use: thumbnail.jpeg\n  - use: embed.colours\n    with: {broken: true}"
    )
    with pytest.raises(RunFailed, match=r"^step 'embed' failed: the weights of embed.colours"):
        go(text)


def test_a_killed_run_is_not_said_to_be_running(go: Go) -> None:
    from shoal.catalogue import runs

    run = go()
    record = run.record.model_copy(
        update={"status": "running", "process": run.record.process.rpartition(":")[0] + ":999999999"}
    )
    run.folder.write_json("run.json", record.model_dump(mode="json"))
    assert (runs(run.store)[-1].status, runs(run.store)[-1].error) == ("failed", "its process was killed")


def test_an_address_where_nobody_is_fails_at_once(go: Go) -> None:
    with pytest.raises(UsageError, match=r"Ray at '127.0.0.1:1' can't be reached \(Connection refused\)"):
        go(where="ray", address="127.0.0.1:1")
