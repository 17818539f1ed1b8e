"""Images are read from allowed places only: a task must not make the backend read its machine or ask its network."""

import http.server
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import ImageError
from shoal_ls.client import auth_of
from shoal_ls.service.fetching import Places

asked: list[tuple[str, str | None]] = []


class Handler(http.server.BaseHTTPRequestHandler):
    """A little server with an image, traps, and a memory of who asked."""

    def do_GET(self) -> None:
        asked.append((self.path, self.headers.get("Authorization")))
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        self.send_response(404 if self.path.startswith("/missing") else 200)
        self.end_headers()
        for _ in range({"/large": 64, "/slow": 300}.get(self.path, 1)):
            self.wfile.write(b"x" * (65_536 if self.path == "/large" else 5))
            self.wfile.flush()
            time.sleep(0.1 if self.path == "/slow" else 0)

    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"access": "short-lived"}' if self.headers["Content-Length"] != "0" else b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    """Its address, `host:port`."""
    asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def token() -> httpx.Auth:
    return httpx.BasicAuth("a", "token")


def test_the_server_gets_the_token_and_other_allowed_hosts_get_none(site: str) -> None:
    port = site.partition(":")[2]
    places = Places(server=f"http://{site}", hosts=frozenset({f"localhost:{port}"}), auth=token())
    assert places.read(f"http://{site}/image.jpg") == b"xxxxx"
    assert places.read("/data/upload/7/a.jpg") == b"xxxxx"
    assert places.read(f"http://localhost:{port}/image.jpg") == b"xxxxx"
    assert [path for path, _ in asked] == ["/image.jpg", "/data/upload/7/a.jpg", "/image.jpg"]
    assert [who is not None for _, who in asked] == [True, True, False]


@pytest.mark.parametrize(
    "url",
    [
        "http://{site}/image.jpg",
        "http://127.0.0.1:1/x",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost/x",
        "http://[::1]/x",
        "http://0/x",
        "http://user:pass@allowed/x",
        "http://allowed@127.0.0.1/x",
        "http://allowed.evil/x",
        "http://2130706433/x",
        "ftp://allowed/x",
        "gopher://allowed/x",
        "http://[bad/x",
        "http://allowed:99999/x",
        "/data/upload/7/a.jpg",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
    ],
)
def test_addresses_that_nobody_allowed_are_not_asked(site: str, url: str) -> None:
    with pytest.raises(ImageError):
        Places(hosts=frozenset({"allowed"})).read(url.format(site=site))
    assert asked == []


def test_redirects_are_followed_to_allowed_hosts_only_and_carry_no_token_there(site: str) -> None:
    port = site.partition(":")[2]
    places = Places(server=f"http://{site}", auth=token(), hosts=frozenset({f"localhost:{port}"}))
    assert places.read(f"http://{site}/to/http://localhost:{port}/image.jpg") == b"xxxxx"
    assert asked[-1] == ("/image.jpg", None)
    with pytest.raises(ImageError, match=r"not fetched from 127\.0\.0\.2"):
        places.read(f"http://{site}/to/http://127.0.0.2:{port}/image.jpg")
    with pytest.raises(ImageError, match="redirects more than"):
        places.read(f"http://{site}" + "/to/" * 5 + "x")


def test_what_is_large_slow_or_missing_is_given_up(site: str) -> None:
    places = Places(server=f"http://{site}", seconds=30, max_bytes=1_000_000)
    with pytest.raises(ImageError, match="more than the allowed 1000000 bytes"):
        places.read(f"http://{site}/large")
    with pytest.raises(ImageError, match="answered 404"):
        places.read(f"http://{site}/missing?signature=secret")
    began = time.monotonic()
    with pytest.raises(ImageError, match="took longer"):
        Places(server=f"http://{site}", seconds=0.5).read(f"http://{site}/slow")
    assert time.monotonic() - began < 15, "the whole answer takes half a minute"


@pytest.mark.parametrize("secret", ["0" * 40, "a.b.c"], ids=["legacy", "personal"])
def test_limits_hold_with_both_kinds_of_token(site: str, secret: str) -> None:
    places = Places(server=f"http://{site}", max_bytes=1_000_000, auth=auth_of(f"http://{site}", secret))
    assert places.read(f"http://{site}/image.jpg") == b"xxxxx"
    assert [who for _, who in asked] == [f"Token {secret}" if secret.isdigit() else "Bearer short-lived"]
    with pytest.raises(ImageError, match="more than the allowed 1000000 bytes"):
        places.read(f"http://{site}/large")


def test_the_reason_names_no_query_which_may_hold_a_signature(site: str) -> None:
    with pytest.raises(ImageError) as caught:
        Places(server=f"http://{site}").read(f"http://{site}/missing?signature=secret")
    assert "secret" not in str(caught.value)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A folder that may be read, and one that may not with a file that everybody wants."""
    root, other = tmp_path / "root", tmp_path / "root-other"
    for folder in (root, other):
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "a.jpg").write_bytes(folder.name.encode())
    os.symlink(other / "sub" / "a.jpg", root / "link.jpg")
    os.symlink(root / "sub" / "a.jpg", root / "good.jpg")
    return root, other


def test_files_below_the_source_and_the_document_root_are_read(folders: tuple[Path, Path]) -> None:
    root, other = folders
    assert Places().read(str(root / "sub" / "a.jpg"), (str(root),)) == b"root"
    assert Places().read(f"file://{root}/sub/a.jpg", (f"file://{root}",)) == b"root"
    assert Places(document_root=root).read("/data/local-files/?d=sub/a.jpg") == b"root"
    assert Places(document_root=root).read("/data/local-files/?d=good.jpg") == b"root"
    assert Places(document_root=other).read("http://anything/data/local-files/?d=sub%2Fa.jpg") == b"root-other"


@pytest.mark.parametrize(
    "reference",
    [
        "{other}/sub/a.jpg",
        "file://{other}/sub/a.jpg",
        "{root}/../root-other/sub/a.jpg",
        "{root}/link.jpg",
        "{root}",
        "/etc/passwd",
        "file:///etc/passwd",
        "file://elsewhere/etc/passwd",
        "/data/local-files/?d=../root-other/sub/a.jpg",
        "/data/local-files/?d=/etc/passwd",
        "/data/local-files/?d=%2e%2e/root-other/sub/a.jpg",
        "/data/local-files/?d=link.jpg",
        "/data/local-files/?d=",
        "s3://bucket/a.jpg",
        "s3://allowed/photos-other/a.jpg",
        "s3://allowed/photos/../x.jpg",
        "s3://allowed/photos/%2E%2e/x.jpg",
        "s3://allowed/photos/x.jpg?endpoint_override=127.0.0.1:1&scheme=http",
        "",
        "\0",
    ],
)
def test_nothing_else_is_read(folders: tuple[Path, Path], reference: str) -> None:
    root, other = folders
    place = reference.format(root=root, other=other)
    with pytest.raises(ImageError):
        Places(document_root=root).read(place, (str(root), "s3://allowed/photos"))


@given(st.text(max_size=60))
def test_no_reference_raises_anything_else(reference: str) -> None:
    with pytest.raises(ImageError):
        Places(document_root=Path("/nonexistent-root")).read(reference, ("/nonexistent-source",))
