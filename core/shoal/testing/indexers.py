"""The rules for indexers."""

import tempfile
from pathlib import Path

import pyarrow as pa

from shoal.errors import UsageError
from shoal.kinds import LISTING, Indexer
from shoal.testing.common import difference, explain, fail, schema_difference
from shoal.testing.options import check_pickle
from shoal.testing.samples import random_images


def check_indexer(stage: Indexer, source: str | Path | None) -> None:
    """Check that an indexer lists a source twice the same, by the schema of a listing."""
    with tempfile.TemporaryDirectory(prefix="shoal-check-") as folder:
        if source is None:
            _make_folder(Path(folder))
        listed = str(source if source is not None else folder)
        first, second = _list(stage, listed), _list(stage, listed)
        how = difference(first, second, 0.0)
        if how:
            fail(stage, f"two listings of the same source differ: {how}; sort what the file system gives")
        paths = first["path"].to_pylist()
        if len(set(paths)) != len(paths):
            fail(stage, f"it lists {max(paths, key=paths.count)!r} more than once")
        if not any(reason is None for reason in first["reason"].to_pylist()):
            fail(stage, f"it accepted no file of {listed}")
        for failed, reason in zip(first["failed"].to_pylist(), first["reason"].to_pylist(), strict=True):
            if failed and not reason:
                fail(stage, "a row says failed without a reason")
        _check_missing(stage, str(Path(folder) / "no such place"))
    check_pickle(stage)


def _make_folder(folder: Path) -> None:
    from PIL import Image

    (folder / "below").mkdir()
    for number, pixels in enumerate(random_images(4, 48, 36, seed=1)):
        Image.fromarray(pixels).save(folder / ("below" if number % 2 else ".") / f"image {number}.jpg")
    (folder / "notes.txt").write_text("no image\n")
    (folder / "empty.png").touch()


def _list(stage: Indexer, source: str) -> pa.Table:
    try:
        tables = list(stage.list_files(source))
    except Exception as error:
        fail(stage, f"list_files({source!r}) raised {explain(error)}")
    for table in tables:
        how = schema_difference(table.schema, LISTING)
        if how:
            fail(stage, f"a listing has the wrong schema: {how.replace('produces()', 'shoal.kinds.LISTING')}")
    return pa.concat_tables(tables) if tables else LISTING.empty_table()


def _check_missing(stage: Indexer, source: str) -> None:
    try:
        list(stage.list_files(source))
    except UsageError:
        return
    except Exception as error:
        fail(stage, f"a source that does not exist must raise UsageError, and raised {explain(error)}")
    fail(stage, "a source that does not exist must raise UsageError, and was listed")
