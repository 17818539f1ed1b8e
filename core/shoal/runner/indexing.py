"""The index: every file that the source names becomes an image id, or a row with the reason why not."""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import ImageError
from shoal.images import Limits, probe
from shoal.kinds import LISTING
from shoal.pipeline.plan import CONTENT_COLUMNS, IMAGE_COLUMNS
from shoal.runner.jobs import RECEIPT, clean, pieces
from shoal.runner.options import limits_key
from shoal.runner.reading import read_image
from shoal.schema import ID
from shoal.store import Folder

KEY = ("path", "bytes", "mtime_ns")
SEEN = pa.schema(
    [
        pa.field("path", pa.string()),
        pa.field("bytes", pa.int64()),
        pa.field("mtime_ns", pa.int64()),
        pa.field("id", pa.string()),
        *[field for field in CONTENT_COLUMNS if field.name != "bytes"],
        IMAGE_COLUMNS.field("exif"),
        pa.field("size", pa.int64()),  # bytes read; `bytes` is what the listing said
        pa.field("error", pa.string()),
        pa.field("limits", pa.string()),  # under which there was an error: others may allow the file
    ]
)
"""What is known of a file that was read: kept by path, size and time of change, so that it is read once."""

FILES = pa.schema(
    [
        *[field for field in LISTING if field.name not in ("reason", "failed", "sha256")],
        pa.field("id", pa.string()),
        pa.field("status", pa.string()),
        pa.field("step", pa.string()),
        pa.field("reason", pa.string()),
    ]
)
"""One row a file of the source: `status` is accepted, filtered or failed; the last two have `step` and `reason`."""


@dataclass(frozen=True)
class IndexJob:
    """Reads files, hashes them and looks at their headers.

    Attributes:
        folder: where what was seen is kept.
        limits: what an image may cost.
        epoch: of a forced reading, else 0.
        landmarks: files that every worker must see.
    """

    folder: Folder
    limits: Limits
    epoch: int = 0
    landmarks: tuple[str, ...] = ()

    def worker(self) -> "IndexWorker":
        """Return a worker."""
        return IndexWorker(self)

    def split(self, chunk: pa.Table, parts: int) -> list[pa.Table]:
        """Return a chunk in pieces of files."""
        return pieces(chunk, parts)

    def reject(self, chunk: pa.Table, reason: str, lasting: bool) -> pa.Table:
        """Return the receipt of a file that no worker survives; a lasting reason is kept with what is known of files."""
        if lasting:
            error = {"error": clean(reason), "limits": limits_key(self.limits)}
            self.keep([row | error for row in chunk.select(list(KEY)).to_pylist()])
        return _receipt(chunk.num_rows, 0, 0.0, dict.fromkeys(chunk["path"].to_pylist(), reason), crashed=True)

    def keep(self, rows: list[dict[str, Any]]) -> None:
        """Keep what is known of some files, rows of `SEEN`, in a file that is named by them."""
        if not rows:
            return
        digest = hashlib.sha256("".join(f"{row['path']}\0{row['bytes']}\0{row['mtime_ns']}\n" for row in rows).encode())
        name = f"{self.epoch:04d}-{digest.hexdigest()[:20]}.parquet"
        self.folder.write_table(name, pa.Table.from_pylist(rows, schema=SEEN))


class IndexWorker:
    """Reads the files of a chunk (`path`, `bytes`, `mtime_ns`) and keeps what it saw. Idempotent."""

    def __init__(self, job: IndexJob) -> None:
        """Take the job."""
        self.job = job

    def __call__(self, chunk: pa.Table) -> pa.Table:
        """Look at each file and return a receipt.

        Raises:
            StoreError: the files or the store can't be reached from here, or not now.
        """
        began = time.perf_counter()
        rows, passing = [], {}
        for listed in chunk.select(list(KEY)).to_pylist():
            try:
                data = read_image(listed["path"], self.job.limits, self.job.landmarks)
            except ImageError as error:
                passing[listed["path"]] = str(error)
                continue
            rows.append({**listed, **_look(data, self.job.limits)})
        self.job.keep(rows)
        return _receipt(chunk.num_rows, len(rows), time.perf_counter() - began, passing)


def _receipt(rows: int, computed: int, reading: float, passing: dict[str, str], crashed: bool = False) -> pa.Table:
    failures = json.dumps({path: clean(reason) for path, reason in passing.items()})
    row = {"task": 0, "rows": rows, "computed": computed, "failed": len(passing), "crashed": crashed}
    return pa.Table.from_pylist([{**row, "seconds": 0.0, "reading": reading, "notes": "{}", "failures": failures}], RECEIPT)


def _look(data: bytes, limits: Limits) -> dict[str, object]:
    row: dict[str, object] = {"id": hashlib.sha256(data).hexdigest(), "size": len(data), "error": None, "limits": None}
    try:
        seen = probe(data, limits)
    except ImageError as error:
        return {**row, "error": clean(str(error)), "limits": limits_key(limits)}
    exif = [{"tag": tag, "text": text} for tag, text in seen.exif]
    return {
        **row, "width": seen.width, "height": seen.height, "format": seen.format, "mode": seen.mode, "frames": seen.frames,
        "exif": exif,
    }  # fmt: skip


def seen_before(folder: Folder, limits: Limits) -> pa.Table:
    """Return all that is kept of files and holds under these limits, as `SEEN`; what was read last by force comes first."""
    names = sorted((name for name in folder.names() if name.endswith(".parquet")), reverse=True)
    seen = pa.concat_tables([SEEN.empty_table(), *(folder.read_table(name) for name in names)])
    return seen.filter(pc.or_kleene(pc.is_null(seen["error"]), pc.equal(seen["limits"], limits_key(limits))))


def next_epoch(folder: Folder) -> int:
    """Return the epoch of a forced reading."""
    return max((int(name.partition("-")[0]) for name in folder.names() if name.endswith(".parquet")), default=-1) + 1


def match(listing: pa.Table, seen: pa.Table) -> pa.Array:
    """Return for each listed file the row of `seen` with its path, size and time of change, or null."""
    return pc.index_in(_keys(listing), value_set=_keys(seen).combine_chunks())


def _keys(table: pa.Table) -> pa.ChunkedArray:
    if not table.num_rows:
        return pa.chunked_array([pa.array([], pa.string())])
    texts = [pc.fill_null(table[name].cast(pa.string()), "") for name in KEY]
    return pc.binary_join_element_wise(*texts, "\0")


def file_table(listing: pa.Table, seen: pa.Table, passing: dict[str, str], step: str) -> pa.Table:
    """Return `FILES`: every listed file with its id, or the status and reason why it has none."""
    rows = match(listing, seen)
    error = seen["error"].combine_chunks().take(rows)
    size = seen["size"].combine_chunks().take(rows)
    places = pc.index_in(listing["path"], value_set=pa.array(list(passing), pa.string()))
    gone = pa.array(list(passing.values()), pa.string()).take(places.combine_chunks())
    filtered = pc.and_(pc.is_valid(listing["reason"]), pc.invert(pc.fill_null(listing["failed"], False)))
    reason = pc.coalesce(listing["reason"], gone, error)
    accepted = pc.is_null(reason)
    status = pc.if_else(accepted, "accepted", pc.if_else(filtered, "filtered", "failed"))
    columns = {name: listing[name] for name in ("path", "bytes", "mtime_ns", "item", "view")}
    columns["bytes"] = pc.coalesce(listing["bytes"], size)
    columns["id"] = pc.if_else(accepted, seen["id"].combine_chunks().take(rows), pa.scalar(None, pa.string()))
    columns |= {"status": status, "step": pc.if_else(accepted, pa.scalar(None, pa.string()), step), "reason": reason}
    return pa.table(columns).cast(FILES)


def one_item_an_image(files: pa.Table, step: str) -> pa.Table:
    """Reject files whose bytes were met before as another item or view: an image is one view of one item.

    Args:
        files: `FILES`.
        step: name of the index step.
    """
    known: dict[str, tuple[str | None, str | None]] = {}
    rows = files.to_pylist() if files["item"].null_count + files["view"].null_count < 2 * files.num_rows else []
    for row in sorted(rows, key=lambda row: row["path"]):
        if row["status"] != "accepted" or known.setdefault(row["id"], (row["item"], row["view"])) == (
            row["item"],
            row["view"],
        ):
            continue
        item, view = known[row["id"]]
        reason = f"its bytes are those of item {item!r}, view {view!r}; an image is one view of one item"
        row |= {"status": "failed", "step": step, "reason": reason, "id": None}
    return pa.Table.from_pylist(rows, schema=FILES) if rows else files


def image_table(files: pa.Table, seen: pa.Table) -> pa.Table:
    """Return the distinct images of the accepted files, sorted by id: `id` and `IMAGE_COLUMNS`.

    Args:
        files: `FILES`.
        seen: `SEEN`, which knows their headers.
    """
    accepted = files.filter(pc.equal(files["status"], "accepted")).sort_by([("id", "ascending"), ("path", "ascending")])
    accepted = accepted.filter(_begins(accepted, "id", "path"))  # a path may be listed twice
    # Not by Arrow's group_by: from some hundred groups on it gives them in another order than they come in.
    firsts = pc.indices_nonzero(_begins(accepted, "id"))
    images = accepted.take(firsts)
    rows = pc.index_in(images["id"], value_set=seen["id"].combine_chunks()).combine_chunks()
    known = seen.take(rows)
    ends = pa.concat_arrays([firsts.cast(pa.int32()), pa.array([accepted.num_rows], pa.int32())])
    paths = pa.ListArray.from_arrays(ends, accepted["path"].combine_chunks())
    columns = {"id": images["id"], "paths": paths, "path": images["path"], "view": images["view"]}
    columns["item"] = pc.coalesce(images["item"], images["id"])
    columns |= {"bytes": known["size"]} | {
        name: known[name] for name in ("width", "height", "format", "mode", "frames", "exif")
    }
    schema = pa.schema([ID, *IMAGE_COLUMNS])
    return pa.table({name: columns[name] for name in schema.names}).cast(schema).combine_chunks()


def _begins(rows: pa.Table, *names: str) -> pa.Array:
    """Tell of each of some sorted rows whether it is the first with its values."""
    begins = pa.array([True] * min(rows.num_rows, 1), pa.bool_())
    if rows.num_rows < 2:
        return begins
    changed = pa.array([False] * (rows.num_rows - 1), pa.bool_())
    for name in names:
        values = rows[name].combine_chunks()
        changed = pc.or_(changed, pc.not_equal(values.slice(1), values.slice(0, len(values) - 1)))
    return pa.concat_arrays([begins, changed])


def chunks(table: pa.Table, size: int) -> Iterator[pa.Table]:
    """Yield slices of at most `size` rows, each with its own memory."""
    for start in range(0, table.num_rows, size):
        yield table.slice(start, size).combine_chunks()
