"""Images and stores in a bucket: pictures are made of them, and signed addresses answer with their bytes."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

import shoal
from shoal.catalogue import Run
from shoal.errors import UsageError
from shoal.runner import RunOptions, Silent
from shoal_ls.client import Server
from shoal_ls.picturing import Source, addresses, write
from shoal_ls.service.pictures import VARIABLE
from shoal_ls.service.serving import Options, application
from tests.label_studio.runs import pictures
from tests.loopback_s3 import Bucket, serve

pytestmark = pytest.mark.slow

PIPELINE = """shoal: 1
name: bucket
steps:
  - use: index.folder
  - use: thumbnail.jpeg
  - use: embed.lite0
  - use: cluster.kmeans
    with: {k: 3}
"""
BACKEND = "http://backend.example"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A bucket with images, some under hostile names; decisions lie in a database beside it."""
    folder = tmp_path_factory.mktemp("bucket")
    with pytest.MonkeyPatch.context() as patch, serve(patch, "photos") as bucket:
        patch.setenv("SHOAL_MLFLOW", "off")
        patch.setenv("SHOAL_DATABASE", f"sqlite:///{folder / 'decisions.db'}")
        for path in sorted(pictures(folder / "images", 3).iterdir()):
            bucket.put(f"images/{path.name}", path.read_bytes())
        yield bucket


@pytest.fixture(scope="module")
def run(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run over them in a local store."""
    folder = tmp_path_factory.mktemp("bucket-run")
    (folder / "bucket.yaml").write_text(PIPELINE)
    return shoal.run(folder / "bucket.yaml", bucket.uri("images"), folder / "out", options=RunOptions(where="local"))


def check_pictures(run: Run, state: Path) -> None:
    """Write a small and a large picture of every image, and get each by the address that a task would hold."""
    ids = run.images["id"].to_pylist()
    shown = write(run, ids, ids, Silent())
    assert shown.with_small == shown.with_large == set(ids)
    with Server.connect("http://127.0.0.1:9", token="x") as nobody:  # is not asked
        found = addresses(nobody, 1, shown.pictures, Source("http", backend=BACKEND))
    thumbnails = dict(zip(*run.joined(["thumbnail"]).to_pydict().values(), strict=True))
    with TestClient(application(Options(run.store.root.uri, state=state)), base_url=BACKEND) as client:
        for image in ids:
            small = client.get(found.address(shown.pictures.relative(image)))
            assert (small.status_code, small.headers["content-type"]) == (200, "image/jpeg")
            assert small.content == thumbnails[image]
            large = client.get(found.address(shown.pictures.relative(image, large=True)))
            assert Image.open(io.BytesIO(large.content)).size == (64, 48)
        address = found.address(shown.pictures.relative(ids[0]))
        assert client.get(address[:-1]).status_code == 403
        assert client.get(found.address(f"{'0' * 2}/{'0' * 64}.jpg")).status_code == 404


def test_pictures_of_images_in_a_bucket_are_in_a_local_store(run: Run) -> None:
    check_pictures(run, run.store.root.local_or_raise("a test") / "backend")


def test_pictures_of_a_store_in_a_bucket(run: Run, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = run.store.root.local_or_raise("a test")
    for path in local.rglob("*"):
        if path.is_file() and path.relative_to(local).parts[0] not in ("thumbnails", "backend"):
            bucket.put(f"out/{path.relative_to(local)}", path.read_bytes())
    there = shoal.open(bucket.uri("out"))
    with pytest.raises(UsageError, match=f"set {VARIABLE} to the same long random text here and where `shoal serve` runs"):
        check_pictures(there, tmp_path / "state")
    monkeypatch.setenv(VARIABLE, "shared by both commands")
    check_pictures(there, tmp_path / "state")
