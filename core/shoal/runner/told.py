"""The index of a source that tells the ids of its files: no file is read, and no more than a part of it is in memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from shoal.pipeline.plan import IMAGE_COLUMNS
from shoal.runner.imageset import IMAGES, SLICE, ImageSet
from shoal.runner.indexing import FILES, SEEN, file_table, image_table, one_item_an_image
from shoal.runner.sorting import Sorter
from shoal.runner.state import FILES as FILES_NAME
from shoal.schema import ID
from shoal.store import Folder

UNTOLD = "its source tells the ids of other files, and none of this one"


@dataclass
class Indexed:
    """What an index came to.

    Attributes:
        images: those that there are.
        files, failed: numbers of files, and of those that failed.
        computed, cached: files that were read now, and files whose ids were known.
    """

    images: ImageSet
    files: int = 0
    failed: int = 0
    computed: int = 0
    cached: int = 0


def index_told(folder: Folder, listing: Iterable[pa.Table], step: str) -> Indexed:
    """Write the files and images of a run, whose ids its source tells.

    Files keep the order of the listing; images are sorted by id, partition by partition on this machine's disk.

    Args:
        folder: of the run.
        listing: tables of `LISTING`.
        step: name of the index step.
    """
    found = Indexed(ImageSet(folder, 0))
    clashes: dict[str, str] = {}
    with Sorter() as sorter:
        folder.write_slices(FILES_NAME, FILES, _files(listing, step, sorter, found))
        folder.write_slices(IMAGES, pa.schema([ID, *IMAGE_COLUMNS]), _images(sorter, step, found, clashes))
    if clashes:
        slices = folder.read_slices(FILES_NAME, None, SLICE)
        folder.write_slices(FILES_NAME, FILES, (_rejected(rows, clashes, step) for rows in slices))
    return found


def gathered(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Yield tables joined so that each but the last has at least so many rows."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        if count >= rows:
            yield pa.concat_tables(waiting)
            waiting, count = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def _files(listing: Iterable[pa.Table], step: str, sorter: Sorter, found: Indexed) -> Iterator[pa.Table]:
    for listed in gathered(listing, SLICE):
        lacks = pc.and_(pc.is_null(listed["reason"]), pc.is_null(listed["sha256"]))
        known = listed.set_column(
            listed.column_names.index("reason"), "reason", pc.if_else(lacks, pa.scalar(UNTOLD), listed["reason"])
        ).set_column(listed.column_names.index("failed"), "failed", pc.or_(lacks, pc.fill_null(listed["failed"], False)))
        files = file_table(known, SEEN.empty_table(), {}, step)
        accepted = pc.equal(files["status"], "accepted")
        ids = pc.if_else(accepted, listed["sha256"], pa.scalar(None, pa.string()))
        files = files.set_column(files.column_names.index("id"), FILES.field("id"), ids)
        good = files.filter(accepted)
        sorter.add(good)
        found.files += files.num_rows
        found.cached += good.num_rows
        found.failed += pc.sum(pc.equal(files["status"], "failed")).as_py()
        yield files


def _images(sorter: Sorter, step: str, found: Indexed, clashes: dict[str, str]) -> Iterator[pa.Table]:
    count = 0
    for partition in sorter.partitions():
        files = one_item_an_image(partition, step)
        wrong = pc.not_equal(files["status"], "accepted")
        reasons = files["reason"].filter(wrong).to_pylist()
        clashes.update(zip(_views(partition.filter(wrong)).to_pylist(), reasons, strict=True))
        found.failed += len(reasons)
        images = image_table(files, _headers(files))
        count += images.num_rows
        yield images
    found.images = ImageSet(found.images.folder, count)


def _views(files: pa.Table) -> pa.ChunkedArray:
    """Return what tells which view of which item each image is, and so whether it clashes: a path may be listed twice."""
    told = (files["id"], files["item"], files["view"])
    return pc.binary_join_element_wise(*told, "\0", null_handling="replace", null_replacement="\1")


def _headers(files: pa.Table) -> pa.Table:
    """Return `SEEN` of files that nobody looked into: nothing but what the listing said."""
    nothing = {field.name: pa.nulls(files.num_rows, field.type) for field in SEEN}
    said = {name: files[name] for name in ("path", "bytes", "mtime_ns", "id")}
    return pa.table({**nothing, **said, "size": files["bytes"]}, schema=SEEN)


def _rejected(files: pa.Table, clashes: dict[str, str], step: str) -> pa.Table:
    """Return the files with those that clash failed."""
    views, reasons = pa.array(list(clashes), pa.string()), pa.array(list(clashes.values()), pa.string())
    places = pc.index_in(_views(files), value_set=views)
    hit = pc.and_(pc.is_valid(places), pc.equal(files["status"], "accepted"))
    columns = {name: files[name] for name in files.column_names}
    columns["status"] = pc.if_else(hit, "failed", files["status"])
    columns["step"] = pc.if_else(hit, step, files["step"])
    columns["reason"] = pc.if_else(hit, reasons.take(places.combine_chunks()), files["reason"])
    columns["id"] = pc.if_else(hit, pa.scalar(None, pa.string()), files["id"])
    return pa.table(columns).cast(FILES)
