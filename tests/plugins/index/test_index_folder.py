"""`index.folder`: every file is a row, in a stable order, within the source."""

import os
import subprocess
import tempfile

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shoal import sources
from shoal.errors import UsageError
from shoal.kinds import LISTING
from shoal_plugins.index import _rows
from shoal_plugins.index.folder import FolderIndexer
from tests.loopback_s3 import serve


def listing(source, **options):
    tables = list(FolderIndexer(**options).list_files(str(source)))
    assert all(table.schema == LISTING for table in tables)
    return pa.concat_tables(tables or [LISTING.empty_table()]).to_pylist()


def make(root, *names, size=1):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)


def told(root, **options):
    """Return {path below the root: reason or None}."""
    return {os.path.relpath(row["path"], root): row["reason"] for row in listing(root, **options)}


def accepted(root, **options):
    return [name for name, reason in told(root, **options).items() if reason is None]


def test_defaults_take_the_usual_formats(tmp_path):
    names = ["a.jpg", "b.JPEG", "c.png", "d.webp", "e.bmp", "f.tiff", "g.tif"]
    make(tmp_path, *names, "h.gif", "notes.txt", "README")
    found = told(tmp_path)
    assert [name for name, reason in found.items() if reason is None] == names
    assert found["h.gif"] == "its extension '.gif' is not among the formats"
    assert found["README"] == "it has no extension"
    assert accepted(tmp_path, formats="GIF, .txt") == ["h.gif", "notes.txt"]


def test_rows_say_size_and_time(tmp_path):
    make(tmp_path, "a.jpg", size=12)
    os.utime(tmp_path / "a.jpg", ns=(1, 1_700_000_000_123_456_789))
    assert listing(tmp_path) == [
        {
            "path": str(tmp_path / "a.jpg"),
            "bytes": 12,
            "mtime_ns": 1_700_000_000_123_456_789,
            "item": None,
            "view": None,
            "reason": None,
            "failed": False,
            "sha256": None,
        }
    ]


def test_size_limits(tmp_path):
    make(tmp_path, "small.jpg", size=1023)
    make(tmp_path, "middle.jpg", size=1024)
    make(tmp_path, "large.jpg", size=2**20 + 1)
    found = told(tmp_path, min_kb=1, max_mb=1)
    assert found == {
        "large.jpg": "it is larger than 1 MB",
        "middle.jpg": None,
        "small.jpg": "it is smaller than 1 KB",
    }
    assert len(accepted(tmp_path, max_mb=-1)) == 3


def test_excluded_folders(tmp_path):
    make(tmp_path, "a/tmp/1.jpg", "tmp/2.jpg", "old1/3.jpg", "b/c/4.jpg", "c/5.jpg", "b/tmp.jpg")
    found = told(tmp_path, exclude="tmp, old*, b/c")
    assert [name for name, reason in found.items() if reason is None] == ["b/tmp.jpg", "c/5.jpg"]
    assert {name for name, reason in found.items() if reason == "the folder is excluded"} == {"a/tmp", "tmp", "old1", "b/c"}


def test_depth(tmp_path):
    make(tmp_path, "0.jpg", "a/1.jpg", "a/b/2.jpg", "a/b/c/3.jpg")
    assert len(accepted(tmp_path)) == 4
    assert accepted(tmp_path, recursive=False) == ["0.jpg"]
    assert accepted(tmp_path, max_depth=0) == ["0.jpg"]
    found = told(tmp_path, max_depth=2)
    assert found["a/b/c"] == "the folder lies deeper than 2 folders"
    assert found["a/b/2.jpg"] is None


def test_hidden_files(tmp_path):
    make(tmp_path, ".a.jpg", ".cache/b.jpg", "c.jpg")
    assert accepted(tmp_path) == ["c.jpg"]
    assert "hidden" in told(tmp_path)[".a.jpg"]
    assert "hidden" in told(tmp_path)[".cache"]
    assert accepted(tmp_path, hidden=True) == [".a.jpg", ".cache/b.jpg", "c.jpg"]


def test_folders_that_shoal_wrote(tmp_path):
    make(tmp_path, "a.jpg", "out/shoal.json", "out/thumbnails/b.jpg", "sorted/.shoal/journal", "sorted/c.jpg")
    found = told(tmp_path)
    assert found == {"a.jpg": None, "out": "the folder was written by shoal", "sorted": "the folder was written by shoal"}
    assert accepted(tmp_path / "sorted") == ["c.jpg"]


def test_links_are_skipped_by_default(tmp_path):
    make(tmp_path, "a/1.jpg")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "c.jpg").symlink_to("a/1.jpg")
    found = told(tmp_path)
    assert found["a/1.jpg"] is None
    assert found["b"] == found["c.jpg"] == "it is a symbolic link (symlinks is skip)"


def test_followed_links_stay_inside_and_never_loop(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    make(root, "a/1.jpg")
    make(outside, "2.jpg")
    (root / "a" / "up").symlink_to("..")
    (root / "again").symlink_to("a")
    (root / "away").symlink_to(outside)
    (root / "away.jpg").symlink_to(outside / "2.jpg")
    (root / "file.jpg").symlink_to("a/1.jpg")
    (root / "self.jpg").symlink_to("self.jpg")
    (root / "gone.jpg").symlink_to("none.jpg")
    (outside / "back").symlink_to(root)
    (outside / "round").symlink_to(".")
    found = told(root, symlinks="follow")
    assert [name for name, reason in found.items() if reason is None] == ["a/1.jpg", "file.jpg"]
    assert "leads out of the source" in found["away"]
    assert "leads out of the source" in found["away.jpg"]
    assert "listed in its own place" in found["a/up"]
    failed = {os.path.basename(row["path"]) for row in listing(root, symlinks="follow") if row["failed"]}
    assert failed == {"self.jpg", "gone.jpg"}
    found = told(root, symlinks="follow", outside=True)
    assert [name for name, reason in found.items() if reason is None] == ["a/1.jpg", "away/2.jpg", "away.jpg", "file.jpg"]
    assert "already" in found["away/round"]


def test_a_link_above_the_source_does_not_list_it_twice(tmp_path):
    make(tmp_path, "root/1.jpg", "2.jpg")
    (tmp_path / "root" / "up").symlink_to(tmp_path)
    found = told(tmp_path / "root", symlinks="follow", outside=True)
    assert [name for name, reason in found.items() if reason is None] == ["1.jpg", "up/2.jpg"]
    assert "already" in found["up/root"]


def test_names_that_are_not_utf8(tmp_path):
    raw = os.fsencode(tmp_path)
    try:
        with open(raw + b"/caf\xe9.jpg", "wb"):
            os.mkdir(raw + b"/\xff")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    make(tmp_path, "ü.jpg")
    rows = {os.path.basename(row["path"]): row for row in listing(tmp_path)}
    assert rows["caf\\xe9.jpg"]["failed"]
    assert rows["\\xff"]["failed"]
    assert rows["caf\\xe9.jpg"]["reason"] == "its name is not UTF-8; rename it"
    assert rows["ü.jpg"]["reason"] is None


def test_special_files_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert told(tmp_path) == {"pipe.jpg": "it is no regular file"}


def test_a_folder_without_permission_is_a_failed_row():
    with tempfile.TemporaryDirectory() as root:  # pytest's own folders keep other users out
        os.chmod(root, 0o755)
        os.mkdir(f"{root}/closed", 0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            rows = listing(root)
        finally:
            os.seteuid(user)
    assert [(row["failed"], row["reason"]) for row in rows] == [(True, "it can't be looked at: Permission denied")]


def test_one_file_as_the_source(tmp_path):
    make(tmp_path, "a.jpg", "b.txt")
    assert listing(tmp_path / "a.jpg")[0]["reason"] is None
    assert "extension" in listing(tmp_path / "b.txt")[0]["reason"]


def test_sources_that_can_not_be(tmp_path):
    with pytest.raises(UsageError, match="does not exist; name a folder"):
        listing(tmp_path / "none")
    with pytest.raises(UsageError, match="can't be opened"):
        listing("ftp://host/photos")
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    "options", [{"min_kb": -1}, {"formats": ""}, {"symlinks": "maybe"}, {"max_depth": -1}, {"depth": 3}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ValidationError):
        FolderIndexer(**options)


@given(
    st.sets(
        st.text("ab./", min_size=1, max_size=8).map(lambda t: "/".join(p for p in t.split("/") if p.strip("."))), max_size=12
    )
)
@settings(max_examples=60, deadline=None)
def test_every_file_is_one_row_and_order_is_stable(names):
    with tempfile.TemporaryDirectory() as root:
        made = set()
        for name in sorted(names - {""}):
            path = os.path.join(root, name + ".jpg")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if not os.path.isdir(path):
                with open(path, "wb"):
                    made.add(os.path.realpath(path))
        first = [row["path"] for row in listing(root, hidden=True)]
        assert first == [row["path"] for row in listing(root, hidden=True)]
        assert sorted(os.path.realpath(path) for path in first) == sorted(made)
        assert all(row["reason"] is None for row in listing(root, hidden=True))


def test_tables_are_of_bounded_length(tmp_path, monkeypatch):
    monkeypatch.setattr(_rows, "ROWS", 7)
    make(tmp_path, *(f"{n % 3}/{n:03d}.jpg" for n in range(50)))
    sizes = [table.num_rows for table in FolderIndexer().list_files(str(tmp_path))]
    assert sum(sizes) == 50
    assert max(sizes) <= 7


def test_a_tree_deeper_than_the_recursion_limit():
    here, root = os.getcwd(), tempfile.mkdtemp()
    try:
        os.chdir(root)
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
        with open("a.jpg", "wb"):
            pass
        assert len(accepted(root)) == 1
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-rf", root], check=True)  # shutil would recurse


@pytest.fixture(scope="module")
def bucket():
    with pytest.MonkeyPatch.context() as patch, serve(patch, "listing") as bucket:
        for key in (
            "p/a.jpg",
            "p/b c/ü#.png",
            "p/b c/notes.txt",
            "p/tmp/d.jpg",
            "p/out/shoal.json",
            "p/out/e.jpg",
            "p/.x/f.jpg",
        ):
            bucket.put(key, b"12345")
        yield bucket


def test_an_object_store(bucket):
    rows = listing(bucket.uri("p"), exclude="tmp")
    assert [(sources.name_of(row["path"]), row["reason"]) for row in rows] == [
        (".x", "the folder is hidden (its name begins with a dot)"),
        ("a.jpg", None),
        ("notes.txt", "its extension '.txt' is not among the formats"),
        ("ü#.png", None),
        ("out", "the folder was written by shoal"),
        ("tmp", "the folder is excluded"),
    ]
    assert [sources.read_bytes(row["path"]) for row in rows if row["reason"] is None] == [b"12345", b"12345"]
    assert {row["bytes"] for row in rows if row["reason"] is None} == {5}
    assert all(row["mtime_ns"] for row in rows if row["reason"] is None)


def test_an_object_store_has_no_such_folder(bucket):
    with pytest.raises(UsageError, match="does not exist"):
        listing(bucket.uri("none"))
