"""Each image is read and computed once ever for the same stage and options."""

import os
import shutil
from pathlib import Path

import pyarrow.compute as pc

from shoal.host import Host
from shoal.pipeline import parse

from .conftest import PIPELINE, Go, computed, save


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


def test_force_computes_chosen_steps_and_what_is_made_from_them(go: Go) -> None:
    first = go()
    again = go(force=frozenset({"reduce"}))
    assert computed(again) == {"index": 0, "embed": 0, "reduce": 24, "cluster": 24, "label": 24}
    third = go(force=frozenset({"embed"}))
    assert computed(third)["embed"] == 24
    assert third.table("embed").equals(first.table("embed")), "the newer rows stand for the older ones"
    assert third.table("embed").num_rows == 24


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
