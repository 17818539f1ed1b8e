"""Disks that are full or read-only, other devices, links that lead outside, two organisers: real ones, no stand-ins."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from shoal import journal
from shoal.errors import JournalError
from shoal.journal import files
from shoal.names import file_part

from .sets import bytes_of, make_plan, make_set, snapshot, write

pytestmark = pytest.mark.processes

MODES = ("copy", "move", "hardlink")
HOSTILE = [
    "../../x",
    "/etc/passwd",
    "CON",
    "nul.jpg",
    "👨\u200d👩\u200d👧\u200d👦" * 12,
    "pic\u202egpj.exe",
    "a\x00b",
    "\x1b[31m",
    "..",
    "",
    "~root",
    "-rf *",
]


def mounted(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    if not mounted("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)):
        pytest.skip("mounting a file system needs root: the full disk is tested by test_a_full_file_stops without it")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def big_set(base: Path, count: int = 30, size: int = 20_000) -> tuple[list[Path], pa.Table]:
    rows = []
    for number in range(count):
        path = base / "in" / f"{number}.jpg"
        rows.append((write(path, bytes_of(number, size), number), path, f"{number % 3:02d}/{number}.jpg", False))
    return [row[1] for row in rows], make_plan(rows)


def test_copies_that_do_not_fit_are_refused_before_anything_is_touched(tmp_path: Path, small_disk: Path) -> None:
    _, plan = big_set(tmp_path, count=60)
    with pytest.raises(JournalError, match="free and the plan needs"):
        journal.organize(plan, small_disk, "copy")
    with pytest.raises(JournalError, match="free and the plan needs"):
        journal.preview(plan, small_disk, "move")
    assert snapshot(small_disk) == {}


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_a_disk_that_fills_up_stops_cleanly_and_goes_on(tmp_path: Path, small_disk: Path, mode: journal.Mode) -> None:
    _, plan = big_set(tmp_path)
    before = snapshot(tmp_path / "in")
    ballast = small_disk / "ballast"

    once = threading.Lock()  # one of the workers fills the disk; two would be in each other's way

    def fill(name: str) -> None:
        if name == "published" and once.acquire(blocking=False):
            with contextlib.suppress(OSError):  # the other worker goes on writing, so what is free may not fit any more
                ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free))
            os.truncate(ballast, max(ballast.stat().st_size - 150_000, 0))

    journal.steps.on_step = fill
    try:
        with pytest.raises(
            journal.OrganizeStoppedError, match=r"(?s)No space left.*of 30 files are organised.*free some space"
        ) as stop:
            journal.organize(plan, small_disk, mode, workers=2)
    finally:
        journal.steps.on_step = None
    ballast_free = {path: entry for path, entry in snapshot(small_disk).items() if path != "ballast"}
    assert 0 < len(ballast_free) < 30
    assert not any(path.endswith(".part") for path in ballast_free)
    assert stop.value.receipts.num_rows == 30
    wanted = {entry.sha256 for entry in before.values()}
    kept = {entry.sha256 for entry in (*ballast_free.values(), *snapshot(tmp_path / "in").values())}
    assert kept == wanted
    with pytest.raises(journal.OrganizeStoppedError):
        journal.resume(small_disk)
    ballast.unlink()
    receipts = journal.organize(plan, small_disk, mode)
    assert receipts.resumed
    assert receipts.counts == {"done": 30}
    assert {entry.sha256 for entry in snapshot(small_disk).values()} == wanted
    journal.undo(small_disk)
    assert snapshot(tmp_path / "in") == before
    assert snapshot(small_disk) == {}


def test_a_full_file_stops(tmp_path: Path) -> None:
    """Without mounts: a limit on file sizes makes the write itself fail, here with EFBIG, in a process of its own."""
    source = tmp_path / "in" / "big.jpg"
    key = write(source, bytes_of(1, 3_000_000), 1)
    script = (
        "import resource, signal, sys, pyarrow as pa\n"
        "from shoal import journal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "plan = pa.table({'id': [sys.argv[1]], 'source': [sys.argv[2]], 'target': ['00/big.jpg']})\n"
        "print(journal.organize(plan, sys.argv[3], 'copy').table.to_pylist()[0]['reason'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, key, str(source), str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "File too large" in done.stdout
    assert snapshot(tmp_path / "out") == {}
    assert source.exists()


@pytest.mark.parametrize("mode", MODES)
def test_a_read_only_target_is_said_at_once(tmp_path: Path, mode: journal.Mode) -> None:
    plan = make_set(tmp_path)
    before = snapshot(tmp_path)
    if not mounted("--bind", str(tmp_path / "out"), str(tmp_path / "out")):
        pytest.skip("a read-only mount needs root, and root ignores permissions")
    try:
        assert mounted("-o", "remount,ro,bind", str(tmp_path / "out"))
        with pytest.raises(JournalError, match="can't be written: Read-only file system"):
            journal.organize(plan, tmp_path / "out", mode)
    finally:
        subprocess.run(["umount", "-l", str(tmp_path / "out")], check=True)
    assert snapshot(tmp_path) == before


def test_a_target_that_becomes_read_only_stops_and_goes_on(tmp_path: Path) -> None:
    """One of its folders becomes a read-only disk: a whole disk with an open journal can't be made read-only."""
    _, plan = big_set(tmp_path, count=9)
    (tmp_path / "out/01").mkdir(parents=True)
    if not mounted("-t", "tmpfs", "tmpfs", str(tmp_path / "out/01")):
        pytest.skip("a read-only mount needs root, and root ignores permissions")

    def protect(name: str) -> None:
        if name == "pending":
            assert mounted("-o", "remount,ro", str(tmp_path / "out/01"))

    journal.steps.on_step = protect
    try:
        with pytest.raises(journal.OrganizeStoppedError, match=r"Read-only.*6 of 9 files are organised.*make it writable"):
            journal.organize(plan, tmp_path / "out", "copy")
    finally:
        journal.steps.on_step = None
        subprocess.run(["umount", "-l", str(tmp_path / "out/01")], check=True)
    assert len(snapshot(tmp_path / "out")) == 6
    assert journal.organize(plan, tmp_path / "out", "copy").counts == {"done": 9}


def test_hard_links_across_devices(tmp_path: Path, small_disk: Path) -> None:
    _, plan = big_set(tmp_path, count=5)
    before = snapshot(tmp_path / "in")
    with pytest.raises(JournalError, match="different devices"):
        journal.organize(plan, small_disk, "hardlink")
    assert snapshot(small_disk) == {}
    receipts = journal.organize(plan, small_disk, "hardlink", fallback=True)
    assert receipts.table.column("operation").to_pylist() == ["copy"] * 5
    journal.undo(small_disk)
    assert snapshot(small_disk) == {}
    assert snapshot(tmp_path / "in") == before


def test_a_move_across_devices_keeps_times_and_permissions(tmp_path: Path, small_disk: Path) -> None:
    sources, plan = big_set(tmp_path, count=5)
    before = snapshot(tmp_path / "in")
    journal.organize(plan, small_disk, "move")
    assert not any(path.exists() for path in sources)
    assert sorted(snapshot(small_disk).values()) == sorted(before.values())
    journal.undo(small_disk)
    assert snapshot(tmp_path / "in") == before


@pytest.mark.parametrize("mode", MODES)
def test_a_symbolic_link_in_the_target_leads_nowhere(tmp_path: Path, mode: journal.Mode) -> None:
    plan = make_set(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.rmtree(tmp_path / "out/01")
    (tmp_path / "out/01").symlink_to(outside)
    (tmp_path / "out/02/02@L@IMG_6.jpg").symlink_to(outside / "planted.jpg")
    receipts = journal.organize(plan, tmp_path / "out", mode)
    assert list(outside.iterdir()) == []
    rows = receipts.table.to_pylist()
    assert {row["status"] for row in rows if row["target"].startswith("01/")} == {"failed"}
    assert all("symbolic link" in row["reason"] for row in rows if row["target"].startswith("01/"))
    assert (tmp_path / "out/02/02@L@IMG_6_1.jpg").is_file()
    assert all(Path(row["source"]).exists() for row in rows if row["status"] == "failed")


def test_a_symbolic_link_planted_between_plan_and_work_leads_nowhere(tmp_path: Path) -> None:
    _, plan = big_set(tmp_path, count=6)
    outside = tmp_path / "outside"
    outside.mkdir()

    def plant(name: str) -> None:
        if name == "planned":
            (tmp_path / "out/01").symlink_to(outside)

    journal.steps.on_step = plant
    try:
        receipts = journal.organize(plan, tmp_path / "out", "move")
    finally:
        journal.steps.on_step = None
    assert receipts.counts == {"done": 4, "failed": 2}
    assert list(outside.iterdir()) == []


def test_a_file_that_appears_at_the_target_is_never_replaced(tmp_path: Path) -> None:
    for mode in MODES:
        base = tmp_path / mode
        sources, plan = big_set(base, count=3)
        blocker = base / "out/01/1.jpg"

        def appear(name: str, blocker: Path = blocker) -> None:
            if name == "folders made":
                blocker.write_bytes(b"mine")

        journal.steps.on_step = appear
        try:
            receipts = journal.organize(plan, base / "out", mode)
        finally:
            journal.steps.on_step = None
        assert receipts.counts == {"done": 2, "failed": 1}
        assert blocker.read_bytes() == b"mine"
        assert sources[1].exists()
        assert not list((base / "out").rglob("*.part"))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_labels_stay_below_the_root(tmp_path: Path, text: str) -> None:
    source = tmp_path / "in/a.jpg"
    key = write(source, bytes_of(1), 1)
    part = file_part(text, 80)
    good = make_plan([(key, source, f"{part}/00@{part}@{file_part(text)}.jpg", False)])
    assert journal.organize(good, tmp_path / "good", "copy").counts == {"done": 1}
    assert len(snapshot(tmp_path / "good")) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"in", "good"}


@pytest.mark.parametrize(
    "target", ["../../x.jpg", "/tmp/x.jpg", "a/../../x.jpg", ".shoal/journal.sqlite", "a\x00.jpg", "", "a//b.jpg"]
)
def test_a_plan_that_leads_outside_fails_row_by_row(tmp_path: Path, target: str) -> None:
    source = tmp_path / "in/a.jpg"
    key = write(source, bytes_of(1), 1)
    plan = make_plan([(key, source, target, False), (key, source, "00/a.jpg", False)])
    receipts = journal.organize(plan, tmp_path / "out", "move")
    assert receipts.table.column("status").to_pylist() == ["failed", "done"]
    assert set(snapshot(tmp_path)) == {"out/00/a.jpg"}


def test_a_second_organiser_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    _, plan = big_set(tmp_path, count=3)
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from shoal.journal.lock import hold\n"
        "with hold(Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "out").mkdir()
    first = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        for act in (lambda: journal.organize(plan, tmp_path / "out"), lambda: journal.undo(tmp_path / "out")):
            with pytest.raises(JournalError, match=rf"process {first.pid} on .* is organising"):
                act()
        assert snapshot(tmp_path / "out") == {}
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=20)
    assert journal.organize(plan, tmp_path / "out").counts == {"done": 3}  # the lock went with its holder


@pytest.fixture
def immutable(tmp_path: Path) -> Iterator[tuple[Path, pa.Table]]:
    """Make a source that the kernel neither links nor removes (as a file system without hard links would not link it)."""
    sources, plan = big_set(tmp_path, count=2)
    if subprocess.run(["chattr", "+i", str(sources[0])], capture_output=True, check=False).returncode != 0:
        pytest.skip("immutable files need root and a file system that knows them, such as ext4")
    yield sources[0], plan
    subprocess.run(["chattr", "-i", str(sources[0])], check=True)


def test_a_file_that_cannot_be_linked_is_copied_only_where_asked(tmp_path: Path, immutable: tuple[Path, pa.Table]) -> None:
    _, plan = immutable
    refused = journal.organize(plan, tmp_path / "a", "hardlink")
    assert refused.counts == {"done": 1, "failed": 1}
    assert "can't link it" in refused.table.column("reason")[0].as_py()
    copied = journal.organize(plan, tmp_path / "b", "hardlink", fallback=True)
    assert copied.table.column("operation").to_pylist() == ["copy", "hardlink"]


def test_a_source_that_cannot_be_removed_is_copied_and_said(tmp_path: Path, immutable: tuple[Path, pa.Table]) -> None:
    source, plan = immutable
    before = snapshot(tmp_path / "in")
    receipts = journal.organize(plan, tmp_path / "out", "move")
    assert receipts.table.column("operation").to_pylist() == ["copy", "move"]
    assert "could not be removed" in receipts.table.column("reason")[0].as_py()
    assert source.exists()
    journal.undo(tmp_path / "out")
    assert snapshot(tmp_path / "in") == before
    assert snapshot(tmp_path / "out") == {}


def test_publishing_without_the_linux_call_replaces_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_renameat2", lambda: None)  # as on other systems
    _, plan = big_set(tmp_path, count=3)
    assert journal.organize(plan, tmp_path / "out", "copy").counts == {"done": 3}
    (tmp_path / "new").write_bytes(b"new")
    with pytest.raises(FileExistsError):
        files.publish(tmp_path / "new", tmp_path / "out/01/1.jpg")
    assert (tmp_path / "out/01/1.jpg").read_bytes() == bytes_of(1, 20_000)
