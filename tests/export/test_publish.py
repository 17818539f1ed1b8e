import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from filelock import FileLock

from shoal.errors import StoreError, UsageError
from shoal.export import OURS, export
from shoal.export.publish import MANY, publishing

from .memory import InMemory

pytestmark = pytest.mark.processes


def visible(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != OURS}


def put(folder: Path, files: dict[str, str], how: str = "csv", force: bool = False) -> None:
    with publishing(folder, how, force) as new:
        for name, text in files.items():
            (new / name).write_text(text)


def test_the_same_export_again_replaces_its_own_files(tmp_path: Path):
    first = export(InMemory(), "csv", tmp_path)
    before = visible(tmp_path)
    assert export(InMemory(), "csv", tmp_path) == first
    assert visible(tmp_path) == before


def test_kinds_of_export_share_a_folder(tmp_path: Path):
    for how in ("csv", "workflow", "parquet", "csv", "workflow"):
        export(InMemory(), how, tmp_path)
    assert {"images.csv", "images.parquet", "S2_clustering.csv"} < visible(tmp_path).keys()


def test_files_that_the_next_run_lacks_go_away(tmp_path: Path):
    export(InMemory(), "workflow", tmp_path)
    export(InMemory(), "csv", tmp_path)
    export(InMemory().only("embed"), "workflow", tmp_path)
    assert "S5_cluster_labels.csv" not in visible(tmp_path)
    assert "label.csv" in visible(tmp_path)


def test_files_of_others_are_left_alone(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    export(InMemory(), "csv", tmp_path)
    export(InMemory().only(), "csv", tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("kind", ["file", "folder", "link", "dangling"])
def test_a_file_of_that_name_is_not_replaced(kind: str, tmp_path: Path):
    folder = tmp_path / "files"
    folder.mkdir()
    (tmp_path / "elsewhere").write_text("keep")
    target = folder / "images.csv"
    if kind == "file":
        target.write_text("mine")
    elif kind == "folder":
        target.mkdir()
    else:
        target.symlink_to(tmp_path / ("elsewhere" if kind == "link" else "gone"))
    with pytest.raises(UsageError, match=r"images\.csv exists and is not from an earlier export; .*--force"):
        export(InMemory(), "csv", folder)
    assert list(visible(folder) if kind == "file" else folder.glob("*.csv")) in (["images.csv"], [target])
    assert not (folder / "files.csv").exists()


def test_force_replaces_a_file_and_never_writes_through_a_link(tmp_path: Path):
    (tmp_path / "elsewhere").write_text("keep")
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "images.csv").symlink_to(tmp_path / "elsewhere")
    export(InMemory(), "csv", folder, force=True)
    assert not (folder / "images.csv").is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "keep"


def test_a_file_that_somebody_edited_is_not_replaced(tmp_path: Path):
    export(InMemory(), "csv", tmp_path)
    (tmp_path / "label.csv").write_text("edited by hand")
    before = visible(tmp_path)
    with pytest.raises(UsageError, match=r"label\.csv was changed since it was exported"):
        export(InMemory(), "csv", tmp_path)
    with pytest.raises(UsageError, match=r"label\.csv was changed since it was exported"):  # it would be removed
        export(InMemory().only(), "csv", tmp_path)
    assert visible(tmp_path) == before
    export(InMemory(), "csv", tmp_path, force=True)
    assert visible(tmp_path)["label.csv"].startswith(b"cluster,")


def test_an_export_that_fails_changes_nothing(tmp_path: Path):
    put(tmp_path, {"a": "1", "b": "1"})

    def fail() -> None:
        with publishing(tmp_path, "csv", False) as new:
            (new / "a").write_text("2")
            raise UsageError("the run ended before")

    with pytest.raises(UsageError, match="the run ended before"):
        fail()
    assert visible(tmp_path) == {"a": b"1", "b": b"1"}
    assert sorted(path.name for path in (tmp_path / OURS).iterdir()) == ["files.json", "lock"]


def test_a_book_that_is_no_json_makes_every_file_foreign(tmp_path: Path):
    put(tmp_path, {"a": "1"})
    (tmp_path / OURS / "files.json").write_text('{"csv": 3}')
    with pytest.raises(UsageError, match="not from an earlier export"):
        put(tmp_path, {"a": "2"})


def test_two_exports_at_once_are_refused(tmp_path: Path):
    put(tmp_path, {"a": "1"})
    with FileLock(tmp_path / OURS / "lock"), pytest.raises(StoreError, match="another export is writing"):
        put(tmp_path, {"a": "2"})


def test_a_folder_that_is_a_file_or_may_not_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="can't be written"):
        export(InMemory(), "csv", tmp_path / "file")
    with pytest.raises(StoreError, match="can't be written"):
        export(InMemory(), "csv", "/proc/shoal-export")


KILLED = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from shoal.export.publish import publishing

    calls = 0
    def replace(source, target, real=os.replace):
        global calls
        calls += 1
        if calls == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        real(source, target)
    os.replace = replace
    with publishing(Path(sys.argv[1]), "csv", False) as new:
        for name in "abc":
            (new / name).write_text("new")
    """
)


@pytest.mark.parametrize("moment", range(1, 6))
def test_a_killed_export_can_be_repeated(moment: int, tmp_path: Path):
    put(tmp_path, {"a": "old", "b": "old", "z": "old"})
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(moment)], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert set(visible(tmp_path).values()) <= {b"old", b"new"}
    put(tmp_path, {"a": "new", "b": "new", "c": "new"})
    assert visible(tmp_path) == dict.fromkeys("abc", b"new")
    assert sorted(os.listdir(tmp_path / OURS)) == ["files.json", "lock"]


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and OURS not in path.parts
    }


def put_tree(folder: Path, files: dict[str, str], force: bool = False) -> None:
    with publishing(folder, "csv", force) as new:
        for name, text in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_text(text)


def test_folders_are_published_replaced_and_removed(tmp_path: Path):
    put_tree(tmp_path, {"a": "1", "texts/x": "1", "texts/y": "1", "deep/er/z": "1"})
    (tmp_path / "texts" / "mine").write_text("mine")
    put_tree(tmp_path, {"a": "2", "texts/y": "2"})
    assert tree(tmp_path) == {"a": "2", "texts/y": "2", "texts/mine": "mine"}
    assert not (tmp_path / "deep").exists()
    put_tree(tmp_path, {"a": "3"})
    assert tree(tmp_path) == {"a": "3", "texts/mine": "mine"}


def test_many_files_are_published_as_few_are(tmp_path: Path):
    files = {f"texts/{number}": str(number) for number in range(MANY + 10)}
    put_tree(tmp_path, files)
    assert tree(tmp_path) == files
    put_tree(tmp_path, {"texts/1": "one"})
    assert tree(tmp_path) == {"texts/1": "one"}


def test_files_in_folders_are_not_replaced_either(tmp_path: Path):
    put_tree(tmp_path, {"texts/x": "1"})
    (tmp_path / "texts" / "y").write_text("mine")
    with pytest.raises(UsageError, match="y exists and is not from an earlier export"):
        put_tree(tmp_path, {"texts/x": "2", "texts/y": "2"})
    (tmp_path / "texts" / "x").write_text("edited")
    with pytest.raises(UsageError, match="x was changed since it was exported"):
        put_tree(tmp_path, {"texts/x": "2"})
    assert tree(tmp_path) == {"texts/x": "edited", "texts/y": "mine"}
    put_tree(tmp_path, {"texts/x": "2"}, force=True)
    assert tree(tmp_path) == {"texts/x": "2", "texts/y": "mine"}


@pytest.mark.parametrize("there", ["file", "link", "dangling"])
def test_nothing_is_written_or_removed_through_a_link(there: str, tmp_path: Path):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "files"
    elsewhere.mkdir()
    put_tree(folder, {"texts/x": "1"})
    os.rename(folder / "texts", elsewhere / "texts")
    if there == "file":
        (folder / "texts").write_text("mine")
    else:
        (folder / "texts").symlink_to(elsewhere / ("texts" if there == "link" else "gone"))
    for files in ({"texts/x": "2"}, {"a": "2"}):
        with pytest.raises(UsageError, match="texts is no folder"):
            put_tree(folder, files)
    put_tree(folder, {"a": "2"}, force=True)  # the last export's files would go away
    assert (elsewhere / "texts" / "x").read_text() == "1"
    put_tree(folder, {"texts/x": "3"}, force=True)
    assert (folder / "texts" / "x").read_text() == "3"
    assert not (folder / "texts").is_symlink()
    assert (elsewhere / "texts" / "x").read_text() == "1"


@pytest.mark.parametrize("there", [True, False])
def test_a_first_export_that_is_refused_leaves_nothing_behind(there: bool, tmp_path: Path):
    folder = tmp_path / "new" / "files"
    if there:
        folder.mkdir(parents=True)
        (folder / "images.csv").write_text("mine")

    def refuse() -> None:
        if there:
            export(InMemory(), "csv", folder)
        with publishing(folder, "csv", False):
            raise UsageError("the run ended before")

    with pytest.raises(UsageError):
        refuse()
    assert sorted(path.name for path in tmp_path.rglob("*")) == (["files", "images.csv", "new"] if there else [])
    put(tmp_path / "new" / "files", {"a": "1"})
    assert (folder / "a").read_text() == "1"
