"""A store on an S3 server: published whole or not at all, by several writers at once, through errors that pass."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import unquote

import pyarrow as pa
import pytest

from shoal import sources
from shoal.errors import StoreError, UsageError
from shoal.store import Folder, Store, TableStore
from tests.loopback_s3 import Bucket, serve
from tests.shaky_s3 import Proxy, shaky


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with pytest.MonkeyPatch.context() as patch, serve(patch, "store") as bucket:
        yield bucket


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[Proxy]:
    endpoint = unquote(re.search(r"endpoint_override=([^&]+)", bucket.query)[1])  # type: ignore[index]
    with shaky(endpoint) as proxy:
        yield proxy


@pytest.mark.slow
def test_an_upload_that_is_killed_half_way_leaves_nothing(bucket: Bucket, proxy: Proxy) -> None:
    bucket.put("killed/old.bin", b"old")
    proxy.behave = lambda method, path: "stall" if method in ("PUT", "POST") else "pass"
    code = (
        "import sys; from shoal.store import Folder; folder = Folder(sys.argv[1]); "
        "folder.write(sys.argv[2], bytes(20_000_000))"
    )
    for name in ("new.bin", "old.bin"):
        proxy.stalled.clear()
        writer = subprocess.Popen([sys.executable, "-c", code, f"s3://store/killed?{proxy.query}", name], env=os.environ)
        assert proxy.stalled.wait(60)
        writer.send_signal(signal.SIGKILL)
        assert writer.wait(30) == -signal.SIGKILL
    folder = Folder(bucket.uri("killed"))
    assert folder.names() == ["old.bin"]
    assert folder.read("old.bin") == b"old"


@pytest.mark.slow
def test_errors_that_pass_are_tried_through(bucket: Bucket, proxy: Proxy) -> None:
    """The client library of the object store tries again by itself: shoal needs no loop of its own."""
    folder = Folder(f"s3://store/shaky?{proxy.query}")
    left: list[str] = []
    seen: list[str] = []

    def behave(method: str, path: str) -> str:
        seen.append(method)
        return left.pop() if left else "pass"

    proxy.behave = behave
    table = pa.table({"id": ["a", "b"], "n": [1, 2]})
    for work in (
        lambda: folder.write_table("t.parquet", table),
        lambda: folder.read_table("t.parquet").equals(table) or pytest.fail("another table came back"),
        lambda: folder.names() == ["t.parquet"] or pytest.fail("it is not listed"),
        lambda: folder.exists("t.parquet") or pytest.fail("it is not there"),
        lambda: sources.read_bytes(f"s3://store/shaky/t.parquet?{proxy.query}"),
    ):
        left[:], before = ["500", "500"], len(seen)
        work()
        assert not left
        assert len(seen) > before + 2


@pytest.mark.slow
def test_errors_that_stay_end_in_one_sentence(bucket: Bucket, proxy: Proxy) -> None:
    proxy.behave = lambda method, path: "500"
    folder = Folder(f"s3://store/out-of-order?{proxy.query}")
    with pytest.raises(StoreError, match="can't be written"):
        folder.write("a.bin", b"a")
    with pytest.raises(UsageError, match="can't be reached"):
        Store.open(folder.uri)


@pytest.mark.slow
def test_a_store_that_is_out_of_order_is_not_called_damaged(bucket: Bucket, proxy: Proxy) -> None:
    """Who believed it would remove a file that is whole; and work that meets a StoreError is given out again."""
    folder = Folder(f"s3://store/away?{proxy.query}")
    folder.write_table("t.parquet", pa.table({"n": [1]}))
    folder.write("broken.parquet", b"PAR1 nothing PAR1")
    with pytest.raises(StoreError, match="is damaged"):
        folder.read_table("broken.parquet")
    proxy.behave = lambda method, path: "500"
    with pytest.raises(StoreError, match=r"can't be read: .*the same command goes on"):
        folder.read_table("t.parquet")


def test_what_an_object_store_refuses_is_a_store_s_error(bucket: Bucket) -> None:
    gone = Folder(f"s3://no-such-bucket/x?{bucket.query}")
    for ask in (lambda: Folder(bucket.uri("nothing")).read("a.json"), lambda: gone.read("a.json")):
        with pytest.raises(StoreError, match="does not exist"):
            ask()


@pytest.mark.parametrize("remote", [False, True])
def test_two_answers_at_once_are_never_mixed(remote: bool, bucket: Bucket, tmp_path: pytest.TempPathFactory) -> None:
    """One run writes its table, another answers, then the first one's facts come: table and facts belong together."""
    first = TableStore(Folder(bucket.uri("answers") if remote else str(tmp_path)))
    mine, other = pa.table({"id": ["a"], "x": [0.1]}), pa.table({"id": ["a"], "x": [0.1 + 1e-16]})
    first.write(mine, {"by": "mine"})
    held = first.facts()
    TableStore(first.folder).write(other, {"by": "other"})
    assert first.facts()["by"] == "other"
    assert first.read().equals(other)
    first.folder.write_json("done.json", held)
    assert first.read().equals(mine)


def test_answers_of_older_stores_are_read(tmp_path: pytest.TempPathFactory) -> None:
    folder = Folder(str(tmp_path))
    table = pa.table({"id": ["a"], "x": [1]})
    folder.write_table("table.parquet", table)
    folder.write_json("done.json", {"content": "c"})
    assert TableStore(folder).read().equals(table)


def test_a_bucket_that_is_not_there_is_wrong_use(bucket: Bucket) -> None:
    with pytest.raises(UsageError, match=r"the bucket of s3://no-such-bucket.* does not exist; make it"):
        Store.open(f"s3://no-such-bucket/out?{bucket.query}", create=True)


def test_a_slash_before_the_options_names_the_same_store(bucket: Bucket) -> None:
    made = Store.open(f"s3://store/slash/?{bucket.query}", create=True)
    assert made == Store.open(f"s3://store/slash?{bucket.query}")


def test_files_are_filled_and_fetched(bucket: Bucket) -> None:
    folder = Folder(bucket.uri("files"))
    with folder.filled() as local:
        (local / "a.txt").write_text("a")
        (local / "below").mkdir()
        (local / "below" / "b.txt").write_text("b")
    assert folder.names() == ["a.txt", "below"]
    assert (folder / "below").read("b.txt") == b"b"
    copy = folder.fetched()
    assert {str(path.relative_to(copy)): path.read_text() for path in copy.rglob("*.txt")} == {
        "a.txt": "a",
        "below/b.txt": "b",
    }
