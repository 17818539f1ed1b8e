"""Ids in ascending order: who works slice by slice looks at those within the slice's bounds only."""

from bisect import bisect_left, bisect_right

import pyarrow as pa
import pyarrow.compute as pc


def ascends(ids: pa.Array | pa.ChunkedArray) -> bool:
    """Tell whether ids are in ascending order."""
    pairs = pc.less_equal(ids.slice(0, max(len(ids) - 1, 0)), ids.slice(1))
    return bool(pc.all(pairs, min_count=0).as_py())


def ascending(ids: pa.Array) -> pa.Array:
    """Return ids in ascending order."""
    return ids if ascends(ids) else ids.sort()


def bounds(among: pa.Array | pa.ChunkedArray, ids: pa.Array) -> tuple[int, int]:
    """Return the places, first and behind the last, between which ascending ids lie among others that ascend, too."""
    if not len(ids):
        return 0, 0
    return bisect_left(among, str(ids[0]), key=str), bisect_right(among, str(ids[-1]), key=str)


def near(among: pa.Array, ids: pa.Array) -> pa.Array:
    """Return those of some ascending ids that lie within the bounds of others."""
    start, stop = bounds(among, ids)
    return among.slice(start, stop - start)
