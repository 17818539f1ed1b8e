"""Each image is read and computed once ever for the same stage and options."""

import hashlib
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from shoal.catalogue import open_run
from shoal.errors import RunFailed
from shoal.host import Host
from shoal.pipeline import parse
from shoal.reporting import clusters_table

from .conftest import PIPELINE, Go, computed, save

pytestmark = pytest.mark.processes


def test_a_second_run_computes_nothing_and_answers_the_same(go: Go) -> None:
    first, second = go(), go()
    assert computed(first) == {"index": 24, "embed": 24, "reduce": 24, "cluster": 24, "label": 24}
    assert set(computed(second).values()) == {0}
    assert {step.where for step in second.record.steps} == {"cached"}
    for step in ("embed", "reduce", "cluster", "label"):
        assert first.table(step).equals(second.table(step)), step


def test_a_new_image_is_the_only_one_computed(go: Go, photos: Path) -> None:
    go()
    save(photos, 99)
    again = go()
    assert computed(again)["index"] == 1
    assert computed(again)["embed"] == 1
    assert again.record.step("embed").cached == 24
    assert again.record.images == 25


def test_what_killed_writers_left_is_removed_a_day_after(go: Go, photos: Path) -> None:
    first = go()
    rows = first.store.rows("embed.colours", first.record.step("embed").fingerprint).folder.local
    for name, age in ((".tmp-old", 2 * 86_400), (".tmp-new", 60)):
        (rows / name).write_bytes(b"half")
        then = (rows / name).stat().st_mtime - age
        os.utime(rows / name, (then, then))
    save(photos, 99)
    assert computed(go())["embed"] == 1
    assert [path.name for path in rows.glob(".tmp-*")] == [".tmp-new"]


def test_a_moved_image_is_hashed_again_but_not_computed(go: Go, photos: Path) -> None:
    go()
    shutil.move(photos / "a" / "p0001.jpg", photos / "b" / "moved.jpg")
    again = go()
    assert (computed(again)["index"], computed(again)["embed"]) == (1, 0)
    assert any(path.endswith("moved.jpg") for path in again.images["path"].to_pylist())


def test_a_changed_image_is_another_image(go: Go, photos: Path) -> None:
    go()
    path = photos / "a" / "p0001.jpg"
    shutil.copy(save(photos / "new", 77), path)
    os.utime(path, (1, 1))
    again = go()
    assert computed(again)["embed"] == 1
    assert again.record.files == 25
    assert again.record.images == 24, "the copy and its source share one id"


def test_options_of_a_later_step_leave_the_earlier_ones_alone(go: Go) -> None:
    go()
    again = go(overrides=("cluster.component=3",))
    assert computed(again) == {"index": 0, "embed": 0, "reduce": 0, "cluster": 24, "label": 24}


def test_other_options_of_an_embedder_are_another_embedder(go: Go) -> None:
    first = go()
    again = go(overrides=("embed.side=8",))
    assert set(computed(again).values()) == {0, 24}
    assert computed(again)["index"] == 0
    assert first.table("embed").num_rows == 24, "the rows of the first run are still there"


def test_force_computes_chosen_steps(go: Go) -> None:
    first = go()
    again = go(force=frozenset({"reduce"}))
    assert computed(again)["reduce"] == 24
    assert computed(again)["cluster"] == 0, "the forced answer came out the same, so nothing after it changes"
    third = go(force=frozenset({"embed"}))
    assert computed(third)["embed"] == 24
    assert third.table("embed").equals(first.table("embed")), "the newer rows stand for the older ones"
    assert third.table("embed").num_rows == 24
    assert set(computed(go()).values()) == {0}


def test_a_forced_answer_that_differs_is_followed_and_old_runs_keep_theirs(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    from . import stages

    first = go()
    before, names = first.table("cluster"), first.table("label")
    plain = stages.Split.run

    def other_way_round(self: stages.Split, rows: pa.Table, context: object) -> pa.Table:
        answer = plain(self, rows, context)  # type: ignore[arg-type]
        return answer.set_column(1, "cluster", pc.subtract(pa.scalar(1, pa.int32()), answer["cluster"]))

    def named_apart(self: stages.Numbered, rows: pa.Table, context: object) -> pa.Table:
        raise RuntimeError("stopped before the labels")

    monkeypatch.setattr(stages.Split, "run", other_way_round)
    monkeypatch.setattr(stages.Numbered, "run", named_apart)
    with pytest.raises(RunFailed, match="stopped before the labels"):
        go(force=frozenset({"cluster"}))
    monkeypatch.undo()
    again = go()
    assert computed(again) == {"index": 0, "embed": 0, "reduce": 0, "cluster": 0, "label": 24}
    assert not again.table("cluster").equals(before), "the forced answer stands"
    assert first.table("cluster").equals(before)
    assert first.table("label").equals(names)


def test_two_steps_of_one_stage_are_computed_once(go: Go, tmp_path: Path) -> None:
    log = tmp_path / "log"
    text = PIPELINE.replace("  - use: reduce", "  - use: embed.colours\n    as: twin\n  - use: reduce").replace(
        "colours", "colours\n    with: {log: LOG}"
    )
    run = go(text.replace("LOG", str(log)).replace("use: reduce.centre", "use: reduce.centre\n    from: embed"))
    assert len(log.read_text().splitlines()) == 24
    assert run.table("embed").equals(run.table("twin"))
    assert (computed(run)["embed"], computed(run)["twin"]) == (24, 0)


def test_exact_duplicates_share_one_row_and_keep_their_paths(go: Go, photos: Path) -> None:
    shutil.copy(photos / "a" / "p0001.jpg", photos / "copy.jpg")
    run = go()
    assert (run.record.files, run.record.accepted, run.record.images) == (25, 25, 24)
    assert computed(run)["embed"] == 24
    paths = run.images.filter(pc.equal(pc.list_value_length(run.images["paths"]), 2))["paths"].to_pylist()
    assert [[Path(path).name for path in found] for found in paths] == [["p0001.jpg", "copy.jpg"]]


def test_the_order_of_runs_does_not_change_the_tables(go: Go, photos: Path, tmp_path: Path, host: Host) -> None:
    """Rows that were computed in two runs stand in the same order as rows of one."""
    from shoal.api import run
    from shoal.runner import RunOptions

    away = tmp_path / "away"
    away.mkdir()
    for name in ("p0003.jpg", "p0005.jpg", "p0007.jpg"):
        shutil.move(photos / "a" / name, away / name)
    go()
    for name in ("p0003.jpg", "p0005.jpg", "p0007.jpg"):
        shutil.move(away / name, photos / "a" / name)
    grown = go()
    whole = run(parse(PIPELINE, host), photos, tmp_path / "other", options=RunOptions(where="local"), host=host)
    for step in ("embed", "reduce", "cluster", "label"):
        assert grown.table(step).equals(whole.table(step)), step


def test_forced_index_reads_what_changed_behind_the_clock(go: Go, photos: Path) -> None:
    """A byte changed with size and time kept is only seen by force; then the newest reading holds, whatever its name."""
    path = photos / "a" / "p0001.jpg"
    go()
    for number in range(3):
        save(photos, 200 + number)
        go()
        was = path.stat()
        data = bytearray(path.read_bytes())
        data[-3] ^= 1 + number
        path.write_bytes(bytes(data))
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
        want = hashlib.sha256(path.read_bytes()).hexdigest()
        assert want not in go().images["id"].to_pylist()
        assert want in go(force=frozenset({"index"})).images["id"].to_pylist()
        assert want in go().images["id"].to_pylist()


def test_other_limits_are_another_chance(go: Go) -> None:
    from shoal.images import Limits

    with pytest.raises(RunFailed, match="none of the 24 files"):
        go(limits=Limits(max_pixels=1000))
    assert go().record.rejected == 0


def test_old_runs_stay_readable_when_their_stages_change(go: Go, monkeypatch: pytest.MonkeyPatch, host: Host) -> None:
    from . import stages

    first = go()
    kept = {step: first.table(step) for step in ("embed", "cluster", "label")}
    monkeypatch.setattr(stages.Split, "version", "2")
    monkeypatch.setattr(stages.Colours, "version", "2")
    assert computed(go())["embed"] == 24
    bare = Host(builtins=("shoal_plugins.index.folder",), allow=())
    old = open_run(first.store, bare, first.id)
    for step, table in kept.items():
        assert old.table(step).equals(table), step
    assert old.joined(["cluster", "label"]).num_rows == 24


def test_labels_go_with_the_clusters_that_they_name(go: Go) -> None:
    text = PIPELINE.replace(
        "  - use: label",
        "  - use: cluster.split\n    as: other\n    from: reduce\n    with: {component: 5, noise: 4}\n  - use: label",
    )
    run = go(text + "    from: cluster\n")
    pairs = set(zip(*(run.joined(["cluster", "label"])[name].to_pylist() for name in ("cluster", "label")), strict=True))
    assert pairs == {(0, "group 0"), (1, "group 1")}
    assert (run.record.clusters, run.record.noise) == (2, 0)
    assert [row["label"] for row in clusters_table(run).to_pylist()] == ["group 0", "group 1"]


def test_runs_of_one_second_are_told_apart_and_in_order(go: Go) -> None:
    made = [go().id for _ in range(6)]
    assert made == sorted(made)
    assert len(set(made)) == 6
