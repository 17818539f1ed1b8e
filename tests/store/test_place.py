"""A store is where it was made: a machine without its mount makes none of its own."""

import shutil
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
