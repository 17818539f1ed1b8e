"""`index.table`: manifests in three formats, streamed."""

import bz2
import gzip
import hashlib
import json
import os

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from shoal import sources
from shoal.errors import UsageError
from shoal.kinds import LISTING
from shoal_plugins.index import _rows
from shoal_plugins.index.table import TableIndexer
from tests.loopback_s3 import serve


def listing(source, **options):
    tables = list(TableIndexer(**options).list_files(str(source)))
    assert all(table.schema == LISTING for table in tables)
    return pa.concat_tables(tables or [LISTING.empty_table()]).to_pylist()


@pytest.fixture
def images(tmp_path):
    (tmp_path / "f").mkdir()
    for name in ("a.jpg", "ü b.jpg"):
        (tmp_path / "f" / name).write_bytes(b"12345")
    return tmp_path


ROWS = [{"path": "f/a.jpg", "particle": 7, "angle": "left"}, {"path": "f/ü b.jpg", "particle": 8, "angle": None}]


def write(folder, kind, rows=ROWS):
    file = folder / f"manifest.{kind}"
    table = pa.Table.from_pylist(rows)
    if kind == "parquet":
        pq.write_table(table, file)
    elif kind == "csv":
        pacsv.write_csv(table, file)
    else:
        lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
        file.write_bytes(
            gzip.compress(lines) if kind.endswith("gz") else bz2.compress(lines) if kind.endswith("bz2") else lines
        )
    return file


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl", "jsonl.gz", "ndjson.bz2"])
def test_every_format(images, kind):
    rows = listing(write(images, kind), item="particle", view="angle")
    assert [(row["path"], row["bytes"], row["item"], row["view"]) for row in rows] == [
        (str(images / "f" / "a.jpg"), 5, "7", "left"),
        (str(images / "f" / "ü b.jpg"), 5, "8", None),
    ]
    assert all(row["reason"] is None and row["failed"] is False for row in rows)
    assert rows[0]["mtime_ns"] == os.stat(images / "f" / "a.jpg").st_mtime_ns


def test_paths_of_every_kind(images):
    file = images / "f" / "a.jpg"
    rows = [{"file": str(file)}, {"file": file.as_uri()}, {"file": "s3://bucket/a%20b.jpg"}, {"file": "../f/a.jpg"}]
    manifest = write(images, "jsonl", rows)
    found = [row["path"] for row in listing(manifest, path="file", root=str(images / "f"), stat=False)]
    assert found == [str(file), str(file), "s3://bucket/a%20b.jpg", str(file)]


def test_a_root_that_is_a_store(images):
    rows = listing(write(images, "csv"), root="s3://bucket/photos?region=eu-west-1", stat=False)
    assert [row["path"] for row in rows] == [
        "s3://bucket/photos/f/a.jpg?region=eu-west-1",
        "s3://bucket/photos/f/%C3%BC%20b.jpg?region=eu-west-1",
    ]


def test_what_is_missing_is_a_failed_row(images):
    manifest = write(images, "jsonl", [{"path": "none.jpg"}, {"path": "f"}, {"path": None}, {"path": "f/a.jpg"}])
    rows = listing(manifest)
    assert [(row["failed"], row["reason"]) for row in rows] == [
        (True, "it does not exist"),
        (True, "it is a folder, not a file"),
        (True, "row 3 of the manifest has no path"),
        (False, None),
    ]
    assert rows[2]["path"] == f"{manifest}#3"


def test_without_stat_no_file_is_looked_at(images):
    rows = listing(write(images, "jsonl", [{"path": "none.jpg"}]), stat=False)
    assert [(row["bytes"], row["mtime_ns"], row["reason"]) for row in rows] == [(None, None, None)]


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_long_manifests_are_streamed(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(_rows, "ROWS", 1000)
    manifest = write(tmp_path, kind, [{"path": f"{n}.jpg"} for n in range(4500)])
    sizes, paths = [], []
    for table in TableIndexer(stat=False).list_files(str(manifest)):
        sizes.append(table.num_rows)
        paths += table["path"].to_pylist()
    assert sizes == [1000, 1000, 1000, 1000, 500]
    assert paths == [str(tmp_path / f"{n}.jpg") for n in range(4500)]


def peak_memory(manifest, parts):
    with pq.ParquetWriter(manifest, pa.schema({"path": pa.string()})) as writer:
        for part in range(parts):
            writer.write_table(pa.table({"path": [f"s3://bucket/{part}/{n:09d}.jpg" for n in range(10_000)]}))
    before, most = pa.total_allocated_bytes(), 0
    for table in TableIndexer(stat=False).list_files(str(manifest)):
        assert table.num_rows <= 10_000
        most = max(most, pa.total_allocated_bytes() - before)
    return most


@pytest.mark.slow
def test_memory_does_not_grow_with_the_manifest(tmp_path):
    assert peak_memory(tmp_path / "long.parquet", 12) < 1.5 * peak_memory(tmp_path / "short.parquet", 3)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.csv", b"file,item\na,b\n", "has no column 'path'; it has file, item"),
        ("m.csv", b"", "has no column 'path'; it has none"),
        ("m.csv", b"path\n\xff\xfe\n", "is no CSV file"),
        ("m.csv.gz", b"not packed", "is no CSV file"),
        ("m.jsonl", b'{"path": "a"}\n{"path": \n', "line 2 is no JSON object"),
        ("m.jsonl", b"[1]\n", "line 1 is no JSON object"),
        ("m.parquet", b"PAR1nonsense", "is no Parquet file"),
        ("m.xlsx", b"", "its ending tells no format"),
    ],
)
def test_broken_manifests_are_named(tmp_path, name, content, words):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        listing(file)


@pytest.mark.slow
def test_a_parquet_manifest_is_never_held_whole(tmp_path):
    names = [f"{hashlib.sha256(str(row).encode()).hexdigest()}.jpg" for row in range(200_000)]
    for groups in (5_000, 200_000):  # many row groups, and one
        pq.write_table(pa.table({"path": names}), tmp_path / "m.parquet", row_group_size=groups, use_dictionary=False)
        before, rows, held = pa.total_allocated_bytes(), 0, 0
        for part in TableIndexer(stat=False).list_files(str(tmp_path / "m.parquet")):
            rows += part.num_rows
            held = max(held, pa.total_allocated_bytes() - before)
        assert rows == len(names)
        assert held < len(names) * 68 / 2, f"in groups of {groups} rows it holds {held / len(names):.0f} bytes a row"


def test_a_manifest_that_is_damaged_within_is_named(tmp_path):
    file = tmp_path / "m.parquet"
    pq.write_table(pa.table({"path": [f"{row}.jpg" for row in range(1000)]}), file, use_dictionary=False)
    whole = bytearray(file.read_bytes())
    whole[4:60] = bytes(56)
    file.write_bytes(whole)
    with pytest.raises(UsageError, match="is no Parquet file that can be read"):
        listing(file)


def test_a_missing_manifest(tmp_path):
    with pytest.raises(UsageError, match="is no file; name a Parquet, CSV or JSON Lines file"):
        listing(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="is no file"):
        listing(tmp_path)


def test_a_manifest_without_rows(tmp_path):
    assert listing(write(tmp_path, "jsonl", [])) == []


def test_the_format_can_be_said(images):
    file = images / "manifest.txt"
    file.write_text("path\nf/a.jpg\n")
    assert len(listing(file, format="csv")) == 1


def test_a_manifest_in_a_store(monkeypatch):
    with serve(monkeypatch, "manifests") as bucket:
        bucket.put("set/ü.jpg", b"pixels")
        manifest = bucket.put("set/m.csv", "path\nü.jpg\nnone.jpg\n".encode())
        rows = listing(manifest)
        assert [(row["bytes"], row["reason"]) for row in rows] == [(6, None), (None, "it does not exist")]
        assert sources.read_bytes(rows[0]["path"]) == b"pixels"
