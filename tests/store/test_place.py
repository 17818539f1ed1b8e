"""A store is where it was made: a machine without its mount makes none of its own."""

import errno
import os
import shutil
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa
import pytest

from shoal.errors import StoreError
from shoal.store import Folder, Store

TABLE = pa.table({"id": ["a" * 64], "x": [1.0]})


@pytest.mark.parametrize("below", ["", "out"])
@pytest.mark.parametrize("left", [True, False])
def test_a_machine_that_lacks_the_mount_of_a_store_writes_nowhere(below: str, left: bool, tmp_path: Path) -> None:
    """It would tell that rows are done which nobody finds: on its own disk, below the empty folder of the mount."""
    mount = tmp_path / "mount"
    store = Store.open(mount / below, create=True)
    rows, answer = store.rows("embed.x", "f" * 64), store.tables("cluster.x", "f" * 64, "d" * 64)
    shutil.move(mount, tmp_path / "elsewhere")
    if left:
        mount.mkdir()
    for write in (
        lambda: rows.write(TABLE),
        lambda: answer.write(TABLE, {}),
        rows.parts,
        lambda: filled(answer.files),
    ):
        with pytest.raises(StoreError, match=r"^the store .*mount.* is not there on .*; mount it on every node"):
            write()
    assert not mount.exists() or list(mount.iterdir()) == []
    if left:
        mount.rmdir()
    shutil.move(tmp_path / "elsewhere", mount)
    rows.write(TABLE)
    assert len(rows.parts()) == 1


def filled(folder: Folder) -> None:
    with folder.filled():
        pass


def test_folders_that_lie_in_no_store_are_made(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "a" / "b"))
    assert folder.names() == []
    folder.write("c", b"c")
    assert folder.names() == ["c"]


def test_a_table_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut a part file is whole or not there: one that is empty would end each run that reads it."""
    synced: list[tuple[int, int]] = []
    real = os.fsync

    def sync(handle: int) -> None:
        assert list(tmp_path.glob("*.parquet")) == []
        synced.append((os.fstat(handle).st_ino, os.fstat(handle).st_size))
        real(handle)

    monkeypatch.setattr(os, "fsync", sync)
    Folder(str(tmp_path)).write_table("t.parquet", TABLE)
    have = (tmp_path / "t.parquet").stat()
    assert synced == [(have.st_ino, have.st_size)]


@pytest.mark.parametrize(("number", "told"), [(errno.EINVAL, False), (errno.ENOSPC, True)])
def test_what_a_sync_says_counts_where_the_disk_can(
    number: int, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mounts of buckets may have no such call; a network folder that is full may say so only here."""

    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    folder = Folder(str(tmp_path))
    with pytest.raises(StoreError, match="is full") if told else nullcontext():
        folder.write_table("t.parquet", TABLE)
    assert folder.names() == ([] if told else ["t.parquet"])
