"""What organise, resume, undo, preview and history do when nobody kills them."""

import os
import shutil
import sqlite3
from pathlib import Path

import pyarrow as pa
import pytest

from shoal import journal
from shoal.errors import JournalError, UsageError

from .sets import bytes_of, folders, make_plan, make_set, snapshot, write

MODES = ("copy", "move", "hardlink")


def by_target(receipts: pa.Table) -> dict[str, dict[str, object]]:
    return {row["target"]: row for row in receipts.to_pylist()}


def one(tmp_path: Path, target: str = "00/a.jpg", name: str = "a.jpg", number: int = 1) -> tuple[Path, pa.Table]:
    source = tmp_path / "in" / name
    key = write(source, bytes_of(number), number)
    return source, make_plan([(key, source, target, False)])


@pytest.mark.parametrize("mode", MODES)
def test_files_arrive_with_bytes_times_and_permissions_and_go_back(tmp_path: Path, mode: journal.Mode) -> None:
    plan = make_set(tmp_path)
    before, places = snapshot(tmp_path), folders(tmp_path)
    sources = {str(tmp_path / name): entry for name, entry in before.items()}
    receipts = journal.organize(plan, tmp_path / "out", mode)
    assert receipts.counts == {"done": plan.num_rows - 1, "present": 1}
    assert receipts.table.schema == journal.RECEIPTS
    after = snapshot(tmp_path)
    for row in receipts.table.to_pylist():
        if row["status"] == "done":
            assert after[f"out/{row['target']}"] == sources[row["source"]]
        assert Path(row["source"]).exists() == (mode != "move")
        if row["operation"] == "hardlink":
            assert (tmp_path / "out" / row["target"]).samefile(row["source"])
    assert [path for path in after if path.endswith(".part")] == []
    undone = journal.undo(tmp_path / "out")
    assert undone is not None
    assert undone.undo
    assert undone.counts == {"undone": plan.num_rows}
    assert snapshot(tmp_path) == before
    assert folders(tmp_path) == places
    assert journal.undo(tmp_path / "out") is None
    assert journal.resume(tmp_path / "out") is None
    assert [operation.state for operation in journal.history(tmp_path / "out")] == ["undone"]


@pytest.mark.parametrize("mode", MODES)
def test_taken_names_get_a_counter_and_sidecars_follow(tmp_path: Path, mode: journal.Mode) -> None:
    plan = make_set(tmp_path)
    assert journal.preview(plan, tmp_path / "out", mode).column("status").to_pylist().count("present") == 1
    before = snapshot(tmp_path)
    found = by_target(journal.organize(plan, tmp_path / "out", mode).table)
    assert {"00/00@L@IMG_0_1.jpg", "00/00@L@IMG_0_1.txt"} < set(found)  # the image's name is taken
    assert {"01/01@L@IMG_5_1.jpg", "01/01@L@IMG_5_1.txt"} < set(found)  # the side-car's is, in another case
    assert found["02/02@L@IMG_2.jpg"]["status"] == "present"
    after = snapshot(tmp_path)
    assert all(after[path] == entry for path, entry in before.items() if path.startswith("out/"))


def test_the_preview_says_what_organise_then_does(tmp_path: Path) -> None:
    plan = make_set(tmp_path)
    before = snapshot(tmp_path)
    shown = journal.preview(plan, tmp_path / "out", "move")
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "out" / ".shoal").exists()
    assert shown.column("target").equals(journal.organize(plan, tmp_path / "out", "move").table.column("target"))
    assert journal.preview(plan, tmp_path / "new" / "er", "hardlink").num_rows == plan.num_rows
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("mode", MODES)
def test_the_same_call_again_does_nothing(tmp_path: Path, mode: journal.Mode) -> None:
    plan = make_set(tmp_path)
    before = snapshot(tmp_path)
    journal.organize(plan, tmp_path / "out", mode)
    after = snapshot(tmp_path)
    again = journal.organize(plan, tmp_path / "out", mode)
    assert again.counts == {"present": plan.num_rows}
    assert snapshot(tmp_path) == after
    undone = journal.undo(tmp_path / "out")
    assert undone is not None
    assert undone.operation == 1  # the second one touched nothing
    assert snapshot(tmp_path) == before


def test_two_operations_are_undone_one_by_one(tmp_path: Path) -> None:
    first, plan = one(tmp_path)
    second, other = one(tmp_path, "01/b.jpg", "b.jpg", 2)
    journal.organize(plan, tmp_path / "out", "move")
    journal.organize(other, tmp_path / "out", "move")
    assert [journal.undo(tmp_path / "out").operation for _ in range(2)] == [2, 1]  # type: ignore[union-attr]
    assert first.exists()
    assert second.exists()
    with pytest.raises(JournalError, match="no operation 3"):
        journal.undo(tmp_path / "out", operation=3)


def test_a_source_changed_since_indexing_stays(tmp_path: Path) -> None:
    source, plan = one(tmp_path)
    source.write_bytes(b"edited")
    for mode in MODES:
        receipts = journal.organize(plan, tmp_path / mode, mode)
        assert receipts.counts == {"failed": 1}
        assert "changed since it was indexed" in receipts.table.column("reason")[0].as_py()
        assert snapshot(tmp_path / mode) == {}
    assert source.read_bytes() == b"edited"


@pytest.mark.parametrize("mode", MODES)
def test_a_vanished_source_is_its_own_failure(tmp_path: Path, mode: journal.Mode) -> None:
    plan = make_set(tmp_path)
    (tmp_path / "photos/day0/IMG_3.jpg").unlink()
    receipts = journal.organize(plan, tmp_path / "out", mode)
    assert receipts.counts == {"done": plan.num_rows - 2, "failed": 1, "present": 1}
    failed = [row for row in receipts.table.to_pylist() if row["status"] == "failed"]
    assert failed[0]["reason"] == "the source vanished"


def test_a_source_that_vanishes_on_the_way_is_its_own_failure(tmp_path: Path) -> None:
    plan = make_set(tmp_path)
    gone = tmp_path / "photos/day1/IMG_19.jpg"

    def vanish(name: str) -> None:
        if name == "planned":
            gone.unlink()

    journal.steps.on_step = vanish
    try:
        receipts = journal.organize(plan, tmp_path / "out", "move")
    finally:
        journal.steps.on_step = None
    assert receipts.counts["failed"] == 1
    assert not gone.exists()


def test_strange_sources_fail_with_a_reason(tmp_path: Path) -> None:
    source, _ = one(tmp_path)
    key = write(source, bytes_of(1), 1)
    (tmp_path / "in/link.jpg").symlink_to(source)
    os.mkfifo(tmp_path / "in/pipe")
    rows = [
        (key, tmp_path / "in/link.jpg", "a/link.jpg", False),
        (key, tmp_path / "in", "a/folder.jpg", False),
        (key, tmp_path / "in/pipe", "a/pipe.jpg", False),
        (key, Path("in/a.jpg"), "a/relative.jpg", False),
    ]
    reasons = journal.organize(make_plan(rows), tmp_path / "out", "move").table.column("reason").to_pylist()
    assert "symbolic link" in reasons[0]
    assert "no regular file" in reasons[1]
    assert "no regular file" in reasons[2]
    assert "no absolute local path" in reasons[3]
    copied = journal.organize(make_plan(rows[:1]), tmp_path / "copy", "copy")
    assert copied.counts == {"done": 1}
    assert not (tmp_path / "copy/a/link.jpg").is_symlink()


@pytest.mark.parametrize("mode", ["copy", "hardlink"])
def test_undo_leaves_what_changed_since(tmp_path: Path, mode: journal.Mode) -> None:
    plan = make_set(tmp_path)
    journal.organize(plan, tmp_path / "out", mode)
    changed = tmp_path / "out/03/03@L@IMG_3.jpg"
    changed.unlink()
    changed.write_bytes(b"worked on")
    receipts = journal.undo(tmp_path / "out")
    assert receipts is not None
    assert receipts.counts == {"refused": 1, "undone": plan.num_rows - 1}
    assert changed.read_bytes() == b"worked on"
    assert "changed since it was organised" in by_target(receipts.table)["03/03@L@IMG_3.jpg"]["reason"]  # type: ignore[operator]
    assert journal.undo(tmp_path / "out") is None


def test_undo_of_a_move_leaves_what_changed_and_what_is_in_the_way(tmp_path: Path) -> None:
    plan = make_set(tmp_path)
    before = snapshot(tmp_path)
    journal.organize(plan, tmp_path / "out", "move")
    changed, gone = tmp_path / "out/03/03@L@IMG_3.jpg", tmp_path / "out/00/00@L@IMG_4.jpg"
    changed.write_bytes(b"worked on")
    gone.unlink()
    blocker = tmp_path / "photos/day0/IMG_6.jpg"
    blocker.write_bytes(b"a new photo")
    receipts = journal.undo(tmp_path / "out")
    assert receipts is not None
    assert receipts.counts == {"refused": 3, "undone": plan.num_rows - 3}
    assert changed.read_bytes() == b"worked on"
    assert blocker.read_bytes() == b"a new photo"
    blocker.unlink()
    again = journal.undo(tmp_path / "out", operation=1)  # the refused ones are tried again
    assert again is not None
    assert again.counts["refused"] == 2
    lost = {"photos/day0/IMG_3.jpg", "photos/day1/IMG_4.jpg"}
    after = snapshot(tmp_path)
    assert {path: entry for path, entry in before.items() if path not in lost}.items() <= after.items()


def test_undo_keeps_a_copy_whose_original_is_gone(tmp_path: Path) -> None:
    source, plan = one(tmp_path)
    journal.organize(plan, tmp_path / "out", "copy")
    source.unlink()
    receipts = journal.undo(tmp_path / "out")
    assert receipts is not None
    assert receipts.counts == {"refused": 1}
    assert (tmp_path / "out/00/a.jpg").read_bytes() == bytes_of(1)


def test_undo_makes_the_old_folders_again_and_restores_touched_times(tmp_path: Path) -> None:
    source, plan = one(tmp_path)
    before = snapshot(tmp_path)
    journal.organize(plan, tmp_path / "out", "move")
    source.parent.rmdir()
    os.utime(tmp_path / "out/00/a.jpg", ns=(5, 5))
    (tmp_path / "out/00/a.jpg").chmod(0o600)
    journal.undo(tmp_path / "out")
    assert snapshot(tmp_path) == before


def test_a_source_that_lies_at_its_target_is_left_there(tmp_path: Path) -> None:
    key = write(tmp_path / "out/00/a.jpg", bytes_of(1), 1)
    before = snapshot(tmp_path)
    for mode in MODES:
        plan = make_plan([(key, tmp_path / "out/00/a.jpg", "00/a.jpg", False)])
        assert journal.organize(plan, tmp_path / "out", mode).counts == {"present": 1}
        assert snapshot(tmp_path) == before
    assert journal.undo(tmp_path / "out") is None


def test_twins_inside_the_root_are_both_kept(tmp_path: Path) -> None:
    """The one's target is where the other lies: it must not be taken for a finished copy."""
    key = write(tmp_path / "out/x/a.jpg", bytes_of(1), 1)
    write(tmp_path / "out/y/a.jpg", bytes_of(1), 2)
    before = snapshot(tmp_path)
    rows = [(key, tmp_path / "out/x/a.jpg", "y/a.jpg", False), (key, tmp_path / "out/y/a.jpg", "y/b.jpg", False)]
    journal.organize(make_plan(rows), tmp_path / "out", "move")
    assert set(snapshot(tmp_path / "out")) == {"y/a_1.jpg", "y/b.jpg"}
    journal.undo(tmp_path / "out")
    assert snapshot(tmp_path) == before


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    plan = make_set(tmp_path)
    seen: list[journal.Progress] = []
    journal.organize(plan, tmp_path / "out", "copy", on_progress=seen.append)
    assert seen[-1].done == seen[-1].total == plan.num_rows
    assert seen[-1].eta_seconds == 0
    assert seen[-1].files_per_second > 0
    assert seen[-1].bytes_done > 20 * 3000


def test_an_empty_plan_is_done_at_once(tmp_path: Path) -> None:
    receipts = journal.organize(make_plan([]), tmp_path / "out")
    assert receipts.table.num_rows == 0
    assert receipts.table.schema == journal.RECEIPTS
    assert journal.undo(tmp_path / "out") is None


def test_a_plan_without_its_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'target' is missing"):
        journal.organize(pa.table({"id": ["x"], "source": ["/x"]}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_journal_and_a_journal_of_another_format(tmp_path: Path) -> None:
    for act in (journal.undo, journal.resume, journal.history):
        with pytest.raises(JournalError, match="has no journal"):
            act(tmp_path)  # type: ignore[operator]
    assert list(tmp_path.iterdir()) == []
    _, plan = one(tmp_path)
    journal.organize(plan, tmp_path / "out")
    database = tmp_path / "out/.shoal/journal.sqlite"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(JournalError, match="format 99"):
        journal.undo(tmp_path / "out")
    shutil.rmtree(tmp_path / "out/.shoal")
    (tmp_path / "out/.shoal").mkdir()
    database.write_bytes(b"no database" * 500)
    with pytest.raises(JournalError, match="can't be used"):
        journal.undo(tmp_path / "out")
