"""What is wrong with a machine or with a store is not held against images."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from shoal import sources
from shoal.api import run as run_pipeline
from shoal.catalogue import Run
from shoal.errors import RunFailed, StoreError
from shoal.host import Host
from shoal.images import Limits
from shoal.pipeline import parse
from shoal.runner import RunOptions
from shoal.runner.indexing import IndexJob, seen_before
from shoal.runner.mapping import MapJob, MapTask
from shoal.runner.reading import landmarks
from shoal.store import Folder, RowStore, Store
from tests.faults.cluster import At
from tests.loopback_s3 import Bucket, serve
from tests.shaky_s3 import Proxy, shaky

from .conftest import PIPELINE, computed, save
from .stages import Colours

PHOTOS = 8


def paths(photos: Path) -> list[str]:
    return sorted(map(str, photos.rglob("*.jpg")))


def test_landmarks_are_files_that_are_seen(photos: Path) -> None:
    there = paths(photos)
    assert landmarks([f"{photos}/gone.jpg", str(photos), "http://example.org/a.jpg", *there]) == tuple(there[:3])
    assert landmarks([f"{photos}/{number}" for number in range(100)]) == ()


def test_images_that_a_machine_does_not_see_are_not_gone(photos: Path, tmp_path: Path) -> None:
    """It would reject them one after the other, and take more work than any machine that has to read them."""
    seen = landmarks(paths(photos))
    listed = pa.table({"path": paths(photos), "bytes": [1] * 24, "mtime_ns": [1] * 24})
    images = pa.table(
        {"id": [f"{n:064x}" for n in range(24)], "paths": [[path] for path in paths(photos)], "need.0": [True] * 24}
    )
    rows = MapTask("embed", Colours(), RowStore(Folder(str(tmp_path / "rows"))), 8)
    index, embed = IndexJob(Folder(str(tmp_path / "index")), Limits(), 0, seen), MapJob((rows,), Limits(), landmarks=seen)
    shutil.move(photos, tmp_path / "away")
    for job, chunk in ((index, listed), (embed, images)):
        with pytest.raises(StoreError, match=r"does not exist.*, and so it is with other images, on .*; mount their folder"):
            job.worker()(chunk)
    Path(seen[1]).parent.mkdir(parents=True)
    Path(seen[1]).touch()
    for job, chunk in ((index, listed), (embed, images)):
        assert job.worker()(chunk)["failed"][0].as_py() >= 23, "what lay beside a file that is there was removed"


def test_a_run_that_loses_sight_of_its_images_goes_on_when_they_are_back(photos: Path, host: Host, tmp_path: Path) -> None:
    def go(progress: At | None = None) -> Run:
        settings = RunOptions(where="local")
        return run_pipeline(parse(PIPELINE, host), photos, tmp_path / "out", options=settings, host=host, progress=progress)

    with pytest.raises(RunFailed, match=r"and so it is with other images, on .* the same command goes on"):
        go(At("embed", 0, lambda: shutil.move(photos, tmp_path / "away")))
    shutil.move(tmp_path / "away", photos)
    run = go()
    assert (run.record.accepted, run.record.rejected) == (24, 0)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A bucket with some photos."""
    folder = tmp_path_factory.mktemp("photos")
    with pytest.MonkeyPatch.context() as patch, serve(patch, "heap") as bucket:
        for seed in range(PHOTOS):
            path = save(folder, seed)
            bucket.put(f"photos/{path.name}", path.read_bytes())
        yield bucket


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch, bucket: Bucket) -> Iterator[Proxy]:
    """Before the bucket; its client tries once, not for 25 seconds."""
    endpoint = unquote(re.search(r"endpoint_override=([^&]+)", bucket.query)[1])  # type: ignore[index]
    with shaky(endpoint) as proxy:
        once = pafs.AwsStandardS3RetryStrategy(max_attempts=1)
        address = f"127.0.0.1:{proxy.server_address[1]}"
        client = pafs.S3FileSystem(endpoint_override=address, scheme="http", region="us-east-1", retry_strategy=once)
        monkeypatch.setattr(sources, "_filesystem", lambda scheme, bucket, query: (client, bucket))
        yield proxy


def place(proxy: Proxy, name: str = "") -> str:
    return f"s3://heap/photos{name}?{proxy.query}"


@pytest.mark.slow
@pytest.mark.parametrize("step", ["index", "embed"])
def test_a_store_that_is_out_of_order_costs_no_image(step: str, proxy: Proxy, host: Host, tmp_path: Path) -> None:
    def go(progress: At | None = None) -> Run:
        made, settings = parse(PIPELINE, host), RunOptions(where="local")
        return run_pipeline(made, place(proxy), tmp_path / "out", options=settings, host=host, progress=progress)

    def out_of_order() -> None:
        proxy.behave = lambda method, path: "500"

    with pytest.raises(
        (RunFailed, StoreError), match=r"can't be read: .*, nor does its store answer; the same command goes on"
    ):
        go(At(step, 0, out_of_order))
    proxy.behave = lambda method, path: "pass"
    run = go()
    assert (run.record.accepted, run.record.rejected) == (PHOTOS, 0)


@pytest.mark.slow
def test_one_object_that_is_out_of_order_is_rejected(proxy: Proxy, host: Host, tmp_path: Path) -> None:
    proxy.behave = lambda method, path: "500" if "p0007" in path else "pass"
    settings = RunOptions(where="local")
    run = run_pipeline(parse(PIPELINE, host), place(proxy), tmp_path / "out", options=settings, host=host)
    (row,) = run.rejected.to_pylist()
    assert (sources.name_of(row["path"]), row["step"], row["status"]) == ("p0007.jpg", "index", "failed")
    proxy.behave = lambda method, path: "pass"
    again = run_pipeline(parse(PIPELINE, host), place(proxy), tmp_path / "out", options=settings, host=host)
    assert (again.record.accepted, again.record.rejected) == (PHOTOS, 0)


def test_an_answer_about_one_object_costs_no_further_request(proxy: Proxy) -> None:
    seen: list[str] = []

    def behave(method: str, path: str) -> str:
        seen.append(f"{method} {path}")
        return "403" if "p0007" in path else "pass"

    proxy.behave = behave
    for name, words in (("/p0007.jpg", "no permission"), ("/none.jpg", "does not exist")):
        seen.clear()
        with pytest.raises(sources.Unseen, match=words):
            sources.read_bytes(place(proxy, name))
        assert len(seen) == 1, seen


def test_a_store_that_comes_back_while_it_is_asked_costs_no_image(proxy: Proxy) -> None:
    left = ["500"]
    proxy.behave = lambda method, path: left.pop() if left else "pass"
    entry = sources.stat(place(proxy, "/p0007.jpg"))
    assert (entry.kind, left) == ("file", [])
    left[:] = ["500"]
    assert len(sources.read_bytes(entry.path)) == entry.bytes
    assert not left


def test_another_path_of_the_same_image_may_lie_elsewhere(proxy: Proxy, tmp_path: Path) -> None:
    proxy.behave = lambda method, path: "500"
    copy = save(tmp_path / "copies", 7)
    image = hashlib.sha256(copy.read_bytes()).hexdigest()
    chunk = pa.table({"id": [image], "paths": [[place(proxy, "/p0007.jpg"), str(copy)]], "need.0": [True]})
    job = MapJob((MapTask("embed", Colours(), RowStore(Folder(str(tmp_path / "rows"))), 8),), Limits())
    (receipt,) = job.worker()(chunk).to_pylist()
    assert (receipt["computed"], receipt["failed"]) == (1, 0)


def test_a_file_that_killed_its_workers_is_remembered(photos: Path, host: Host, tmp_path: Path) -> None:
    """Else each run loses as many workers to it."""

    def go() -> Run:
        made, settings = parse(PIPELINE, host), RunOptions(where="local")
        return run_pipeline(made, photos, tmp_path / "out", options=settings, host=host)

    folder = Store.open(tmp_path / "out", create=True).index
    victim = Path(paths(photos)[5])
    seen = victim.stat()
    chunk = pa.table({"path": [str(victim)], "bytes": [seen.st_size], "mtime_ns": [seen.st_mtime_ns]})
    job = IndexJob(folder, Limits())
    job.reject(chunk, "memory ran out on this image alone", lasting=False)
    assert seen_before(folder, Limits()).num_rows == 0, "it may have an answer next time"
    (receipt,) = job.reject(chunk, "the worker process died", lasting=True).to_pylist()
    assert (receipt["crashed"], receipt["failures"]) == (True, json.dumps({str(victim): "the worker process died"}))
    run = go()
    assert computed(run)["index"] == 23
    assert [(row["path"], row["reason"]) for row in run.rejected.to_pylist()] == [(str(victim), "the worker process died")]
