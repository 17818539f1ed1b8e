"""What the map and the scatter put into their scripts: clusters, file names and strengths of the points they draw."""

import base64
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal_plugins.visualize._shared import Cluster


def positions(cluster: NDArray[np.int32], numbers: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return each row's position in the legend, which lists the clusters as `numbers`."""
    known = np.where(cluster < 0, -1, cluster)
    sorter = np.argsort(numbers)
    return sorter[np.searchsorted(numbers, known, sorter=sorter)].astype(np.int32)


def legend(clusters: list[Cluster]) -> list[dict[str, Any]]:
    """Return the clusters as a script reads them."""
    from shoal.report import shown

    return [
        {"name": shown(c.name), "size": c.size, "colour": c.colour, "noise": c.noise, "number": c.number} for c in clusters
    ]


def paths(found: list[str]) -> dict[str, Any]:
    """Return the paths as folders, each once, and file names."""
    from shoal.report import shown

    folders: dict[str, int] = {}
    names, where = [], []
    for path in found:
        folder, slash, name = path.rpartition("/")
        where.append(folders.setdefault(shown(folder + slash), len(folders)))
        names.append(shown(name))
    return {"folders": list(folders), "folder": encoded(np.array(where, dtype=np.int32)), "names": names}


def strengths(rows: pa.Table, order: NDArray[np.int64]) -> dict[str, Any]:
    """Return membership strengths in steps of 1/255; empty where there are none."""
    if "strength" not in rows.column_names:
        return {"strength": ""}
    values = np.nan_to_num(np.array(rows["strength"].to_pylist(), dtype=np.float32)[order])
    return {"strength": encoded(np.round(255 * np.clip(values, 0, 1)).astype(np.uint8))}


def encoded(array: NDArray[Any]) -> str:
    """Return the array's bytes in base64; numbers are little-endian, as in every browser."""
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()
