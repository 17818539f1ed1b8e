"""Probabilities made by a formula: an image shows some classes, the rest of its mass is spread evenly."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal.contract import Context
from shoal.schema import columns
from shoal.vectors import from_numpy
from shoal_plugins.label.tags import Tags

FISH = (0, 1, 390, 391, 393, 394, 395, 397)
TOOLS = (473, 587, 596, 784, 726)
DOGS = (151, 180, 207, 235, 250, 263)
BIRDS = (9, 22, 88, 94, 130, 145)
CARS = (436, 468, 511, 817)

Floats = NDArray[np.float32]


def shows(*classes: int, share: float = 0.9) -> Floats:
    """Return the probabilities of one image: `share` falls off over `classes`, each half of the one before."""
    weights = 0.5 ** np.arange(len(classes))
    row = np.full(1000, (1 - share) / 1000)
    row[list(classes)] += share * weights / weights.sum()
    return row.astype(np.float32)


def group(classes: Sequence[int], images: int) -> list[Floats]:
    """Return images of which each shows another two of `classes`."""
    return [shows(classes[i % len(classes)], classes[(i + 1) % len(classes)]) for i in range(images)]


def name(images: Sequence[Floats], clusters: Sequence[int], stage: Tags | None = None) -> list[dict[str, Any]]:
    """Return the rows that `label.tags` answers."""
    table = pa.table(
        {
            "id": [f"{i:064x}" for i in range(len(images))],
            "cluster": pa.array(clusters, pa.int32()),
            "probabilities": from_numpy(np.array(images, dtype=np.float32).reshape(-1, 1000)),
        }
    )
    answer = (stage or Tags()).run(table, Context())
    assert answer.schema.equals(columns(cluster=pa.int32(), label=pa.string(), reason=pa.string()))
    rows: list[dict[str, Any]] = answer.to_pylist()
    return rows


def labels(images: Sequence[Floats], clusters: Sequence[int], stage: Tags | None = None) -> list[str]:
    """Return the labels alone, by rising cluster."""
    return [row["label"] for row in name(images, clusters, stage)]
