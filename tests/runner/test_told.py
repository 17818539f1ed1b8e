"""Manifests that tell the ids of their files: no file is read, and slices of the images pass through memory."""

import hashlib
import os
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from shoal.catalogue import Run
from shoal.errors import StoreError
from shoal.host import Host
from shoal.pipeline import parse
from shoal.runner import RunOptions, imageset, passes, sorting, told
from shoal.runner.chunking import recut
from shoal.runner.indexing import FILES
from shoal.vectors import to_numpy

pytestmark = pytest.mark.processes

BUILTINS = ("shoal_plugins.index.table", "shoal_plugins.thumbnail.jpeg")
STUB = Path(__file__).parents[1] / "packages" / "stub"
PIPELINE = (
    "shoal: 1\nname: manifest\nsteps:\n  - use: index.table\n    with: {id: sha256, stat: false%s}\n  - use: embed.stub\n%s"
)
Told = Callable[..., Run]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def rows(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"path": f"/no/where/{row}.jpg", "sha256": digest(str(row)), **more} for row in range(count)]


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    monkeypatch.syspath_prepend(str(STUB))
    host = Host(builtins=(*BUILTINS, "shoal_test_stub"), allow=())

    def run(listed: list[dict[str, Any]], options: str = "", steps: str = "", out: str = "out", **how: Any) -> Run:
        pq.write_table(pa.Table.from_pylist(listed), tmp_path / "manifest.parquet")
        made = parse(PIPELINE % (options, steps), host)
        return shoal.run(
            made, tmp_path / "manifest.parquet", tmp_path / out, host=host, options=RunOptions(where="local", **how)
        )

    return run


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices, partitions and waiting rows so small that a few hundred images need many of them."""
    for module, name, size in ((imageset, "SLICE", 64), (told, "SLICE", 64), (sorting, "WAITING", 100)):
        monkeypatch.setattr(module, name, size)


def parts(run: Run, step: str = "embed") -> list[str]:
    made = run.record.step(step)
    assert made is not None
    return run.store.rows(made.stage, made.fingerprint).folder.names()


def test_a_manifest_that_tells_ids_reads_no_file(go: Told) -> None:
    run = go(rows(300))
    images = run.images
    assert images["id"].to_pylist() == sorted(digest(str(row)) for row in range(300))
    assert (run.record.files, run.record.accepted, run.record.rejected, run.record.images) == (300, 300, 0, 300)
    assert [(step.step, step.computed, step.rows) for step in run.record.steps] == [("index", 0, 300), ("embed", 300, 300)]
    assert run.files["path"].to_pylist() == [row["path"] for row in rows(300)]
    vectors = run.table("embed")
    assert vectors["id"].equals(images["id"])
    first = bytes.fromhex(images["id"][0].as_py()[:16])
    assert np.allclose(to_numpy(vectors["embedding"])[0], np.frombuffer(first, np.uint8) / 255)


def test_slices_make_the_same_tables_and_part_files(go: Told, request: pytest.FixtureRequest) -> None:
    whole = go(rows(1500))
    request.getfixturevalue("slices")
    sliced = go(rows(1500), out="sliced")
    assert parts(sliced) == parts(whole)
    for name in ("embed", "index"):
        assert sliced.table(name).combine_chunks().equals(whole.table(name).combine_chunks()), name
    assert sliced.files.combine_chunks().equals(whole.files.combine_chunks())


@pytest.mark.usefixtures("slices")
def test_rows_that_are_kept_are_not_computed_again(go: Told) -> None:
    first, again, more = go(rows(300)), go(rows(300)), go(rows(400))
    forced = go(rows(400), force=frozenset({"embed"}))
    computed = [run.record.step("embed").computed for run in (first, again, more, forced)]  # type: ignore[union-attr]
    assert computed == [300, 0, 100, 400]
    assert forced.table("embed").combine_chunks().equals(more.table("embed").combine_chunks())


@pytest.mark.usefixtures("slices")
def test_rows_without_an_id_and_images_of_two_items_are_rejected_with_a_reason(go: Told) -> None:
    listed = rows(200, particle="one")
    listed[7]["sha256"], listed[8]["sha256"] = None, "abc"
    listed[9] = {**listed[9], "sha256": digest("3"), "particle": "two"}
    listed[10]["sha256"] = digest("4").upper()  # the same bytes under a second path
    run = go(listed, options=", item: particle")
    reasons = dict(zip(run.rejected["path"].to_pylist(), run.rejected["reason"].to_pylist(), strict=True))
    assert set(reasons) == {f"/no/where/{row}.jpg" for row in (7, 8, 9)}
    assert reasons["/no/where/7.jpg"] == "row 8 of the manifest has no SHA-256 in its column 'sha256'"
    assert reasons["/no/where/9.jpg"].startswith("its bytes are those of item 'one'")
    assert (run.record.accepted, run.record.rejected, run.record.images) == (197, 3, 196)
    assert run.record.step("index").failed == 3  # type: ignore[union-attr]
    places = dict(zip(run.images["id"].to_pylist(), run.images["paths"].to_pylist(), strict=True))
    assert sorted(places[digest("4")]) == ["/no/where/10.jpg", "/no/where/4.jpg"]


@pytest.mark.usefixtures("slices")
def test_a_path_that_is_listed_as_two_items_keeps_the_first(go: Told) -> None:
    listed = rows(20, particle="one")
    run = go([*listed, {**listed[3], "particle": "two"}, listed[3]], options=", item: particle")
    assert [row["reason"][:36] for row in run.rejected.to_pylist()] == ["its bytes are those of item 'one', v"]
    assert (run.record.accepted, run.record.rejected, run.record.images) == (21, 1, 20)
    assert run.record.step("index").failed == 1  # type: ignore[union-attr]


def test_an_index_that_finds_no_room_to_be_sorted_says_where(tmp_path: Path) -> None:
    nothing = {field.name: pa.nulls(1, field.type) for field in FILES}
    with sorting.Sorter() as sorter:
        sorter.add(pa.table({**nothing, "id": pa.array([digest("1")])}, schema=FILES))
        sorter._folder.rmdir()
        with pytest.raises(StoreError, match=r"can't hold the index while it is sorted \(No such file.*variable TMPDIR"):
            next(sorter.partitions())


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")
def test_a_long_index_needs_few_open_files(tmp_path: Path) -> None:
    import resource

    ids = [digest(str(number)) for number in range(4000)]
    nothing = {field.name: pa.nulls(len(ids), field.type) for field in FILES}
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(name) for name in os.listdir("/dev/fd")}
    free = [number for number in range(1000) if number not in taken]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[20], before[1]))
    try:
        with sorting.Sorter() as sorter:
            sorter.add(pa.table({**nothing, "id": ids}, schema=FILES))
            found = [row for table in sorter.partitions() for row in table["id"].to_pylist()]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert sorted(found) == sorted(ids)


@pytest.mark.usefixtures("slices")
def test_a_wrong_id_is_found_when_the_image_is_read(go: Told, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    good = {"path": str(tmp_path / "red.png"), "sha256": hashlib.sha256((tmp_path / "red.png").read_bytes()).hexdigest()}
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "blue.png")
    listed = [good, {"path": str(tmp_path / "blue.png"), "sha256": digest("another")}]
    run = go(listed, steps="  - use: thumbnail.jpeg\nmax_failed: 0.6\n")
    assert run.images["path"].to_pylist() == [good["path"]]
    assert "changed while the run went on" in run.rejected["reason"][0].as_py()


@given(st.lists(st.integers(0, 40), max_size=8), st.integers(1, 30))
def test_cutting_anew_keeps_rows_in_order(lengths: list[int], size: int) -> None:
    total = sum(lengths)
    bounds = np.cumsum([0, *lengths])
    tables = [pa.table({"row": pa.array(range(a, b), pa.int64())}) for a, b in pairwise(bounds)]
    sizes = [count for _, count in passes.cuts(total, 2)] if size == 1 else [size] * -(-total // size)
    found = [table["row"].to_pylist() for table in recut(tables, sizes)]
    assert [row for part in found for row in part] == list(range(total))
    assert [len(part) for part in found[:-1]] == sizes[: len(found) - 1]


@given(st.lists(st.integers(0, 500), max_size=80), st.integers(1, 20))
def test_partitions_are_sorted_among_themselves_and_keep_the_order_within(numbers: list[int], at_once: int) -> None:
    ids = [digest(str(number)) for number in numbers]
    nothing = {field.name: pa.nulls(len(ids), field.type) for field in FILES}
    files = pa.table(
        {**nothing, "id": pa.array(ids, pa.string()), "bytes": pa.array(range(len(ids)), pa.int64())}, schema=FILES
    )
    with sorting.Sorter() as sorter:
        for start in range(0, len(ids), at_once):
            sorter.add(files.slice(start, at_once))
        found = [row for table in sorter.partitions() for row in table.select(["id", "bytes"]).to_pylist()]
    rows = [{"id": image, "bytes": place} for place, image in enumerate(ids)]
    assert found == sorted(rows, key=lambda row: (row["id"][:2], row["bytes"]))
