"""Reading files from folders and object stores: content, or one clear sentence."""

import gzip
import os
import socket
import tempfile
from contextlib import contextmanager

import pytest

from shoal import run, sources
from shoal.errors import ImageError, UsageError
from shoal.store import Store
from tests.loopback_s3 import serve


@pytest.fixture(scope="module")
def bucket():
    with pytest.MonkeyPatch.context() as patch, serve(patch, "sources") as bucket:
        yield bucket


@contextmanager
def plain_user():
    """Be somebody else than root, to whom permissions mean nothing."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_local_or_not():
    assert sources.is_local("a/b.jpg")
    assert sources.is_local("/a?b#c.jpg")
    assert sources.is_local("file:///a/b.jpg")
    assert not sources.is_local("s3://bucket/key")


def test_reads_a_path_and_a_file_uri(tmp_path):
    file = tmp_path / "a b#?.bin"
    file.write_bytes(b"content")
    assert sources.read_bytes(str(file)) == b"content"
    assert sources.read_bytes(file.as_uri()) == b"content"
    assert sources.read_bytes(str(file), 7) == b"content"
    assert sources.absolute(file.as_uri()) == str(file)


def test_relative_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sources.absolute("a/../b.jpg") == str(tmp_path / "b.jpg")
    assert sources.join("s3://b/f?region=x", "ü #.jpg") == "s3://b/f/%C3%BC%20%23.jpg?region=x"
    assert sources.parent("s3://b/f/g.csv?region=x") == "s3://b/f?region=x"
    assert sources.join(str(tmp_path), "/elsewhere/a.jpg") == "/elsewhere/a.jpg"


def test_what_is_not_a_readable_file(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * 11)
    (tmp_path / "plain").write_bytes(b"")
    for name, words in {
        "gone": "does not exist",
        "plain/below": "does not exist",
        ".": "is a folder, not a file",
        "loop": "leads back to itself",
        "pipe": "is no regular file",
        "large": "has 11 bytes, more than the allowed 10",
        "nul\0": "can't be read",
        "n" * 300: "can't be read: File name too long",
    }.items():
        with pytest.raises(ImageError, match=words) as caught:
            sources.read_bytes(f"{tmp_path}/{name}", 10)
        assert isinstance(caught.value, sources.Unreadable)


def test_a_socket_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises(ImageError, match="can't be read"):
            sources.read_bytes("s")
        assert sources.stat("s").kind == "other"


def test_no_permission():
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders keep other users out
        os.chmod(folder, 0o755)
        file = os.path.join(folder, "a")
        with open(file, "wb"):
            os.chmod(file, 0)
        with plain_user(), pytest.raises(ImageError, match="no permission"):
            sources.read_bytes(file)


def test_stat(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"123")
    os.utime(file, ns=(5, 1_700_000_000_123_456_789))
    assert sources.stat(str(file)) == sources.Entry(str(file), "file", 3, 1_700_000_000_123_456_789)
    assert sources.stat(str(tmp_path)).kind == "folder"
    assert sources.stat(str(tmp_path / "b")).kind == "missing"
    assert sources.stat(str(file / "b")).kind == "missing"


def test_streams_are_decompressed(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"path\n"))
    with sources.open_stream(str(tmp_path / "a.csv.gz")) as stream:
        assert stream.read() == b"path\n"
    with pytest.raises(UsageError, match="does not exist"):
        sources.open_file(str(tmp_path / "b"))


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("http://example.org/a.jpg", "can't be opened"),
        ("file://host/a.jpg", "names another machine"),
        ("s3://key:secret@bucket/a.jpg", "must hold no credentials"),
    ],
)
def test_other_places_are_refused(place, words):
    with pytest.raises(UsageError, match=words) as caught:
        sources.read_bytes(place)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "place",
    [
        "s3://AKIA:hunter2@bucket/in", "gs://hunter2@bucket/in", "abfs://:hunter2@account.blob.core.windows.net/c/in",
        "abfs://c@account/in?sp=r&sig=hunter2", "abfs://c@account/in?client_secret=hunter2",
        "s3://bucket/in?endpoint_override=http://me:hunter2@minio:9000",
    ],
)  # fmt: skip
def test_credentials_in_a_place_are_never_written_down(place, tmp_path):
    """Refused before anything is: a run's record, its rows and MLflow hold the place of the images."""
    for read in (sources.read_bytes, sources.stat, Store.open, lambda where: run("quickstart", where, tmp_path / "out")):
        with pytest.raises(UsageError, match="must hold no credentials") as caught:
            read(place)
        assert "hunter2" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "place", ["s3://bucket/mail/a@b:c/in", "abfs://c@account/in?credential_kind=cli", "/a?sig=1", "a:b@c"]
)
def test_names_that_are_no_secrets_are_let_through(place):
    assert sources.secret_in(place) == ""


def test_object_store(bucket):
    uri = bucket.put("photos/a b#?%.jpg", b"pixels")
    assert "a%20b%23%3F%25.jpg" in uri
    assert sources.read_bytes(uri) == b"pixels"
    entry = sources.stat(uri)
    assert (entry.kind, entry.bytes) == ("file", 6)
    assert entry.mtime_ns > 1_600_000_000_000_000_000
    assert sources.stat(bucket.uri("photos")).kind == "folder"
    assert sources.stat(bucket.uri("none")).kind == "missing"
    assert sources.name_of(uri) == "a b#?%.jpg"


def test_object_store_refuses_in_one_sentence(bucket):
    bucket.put("photos/a.jpg", b"pixels")
    with pytest.raises(ImageError, match="does not exist"):
        sources.read_bytes(bucket.uri("photos/b.jpg"))
    with pytest.raises(ImageError, match="6 bytes, more than the allowed 5"):
        sources.read_bytes(bucket.uri("photos/a.jpg"), 5)
    with pytest.raises(UsageError, match="does not exist"):
        sources.list_folder(f"s3://other?{bucket.query}")


def test_object_store_listing_is_sorted_and_can_be_read(bucket):
    for key in ("f/b.jpg", "f/ü.jpg", "f/a/c.jpg", "f/10%.jpg"):
        bucket.put(key, key.encode())
    entries = sources.list_folder(bucket.uri("f"))
    assert [(sources.name_of(entry.path), entry.kind) for entry in entries] == [
        ("10%.jpg", "file"),
        ("a", "folder"),
        ("b.jpg", "file"),
        ("ü.jpg", "file"),
    ]
    assert [sources.read_bytes(entry.path) for entry in entries if entry.kind == "file"] == [
        b"f/10%.jpg",
        b"f/b.jpg",
        "f/ü.jpg".encode(),
    ]
