"""Tables of vectors for the tests of reducers, clusterers and samplers."""

from typing import Any

import numpy as np
import pyarrow as pa

from shoal.contract import Context
from shoal.schema import ID
from shoal.vectors import from_numpy, to_numpy


def table(vectors: Any, cluster: Any = None) -> pa.Table:
    """Return `id` (sorted) and `embedding`, and `cluster` if given."""
    array = np.asarray(vectors, dtype=np.float32)
    fields, columns = [ID], [pa.array([f"{row:064x}" for row in range(len(array))], pa.string())]
    kind = pa.list_(pa.float32(), array.shape[1])
    fields.append(pa.field("embedding", kind))
    columns.append(from_numpy(array) if len(array) else pa.array([], kind))
    if cluster is not None:
        fields.append(pa.field("cluster", pa.int32()))
        columns.append(pa.array(np.asarray(cluster, dtype=np.int32)))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def blobs(n: int = 200, groups: int = 4, size: int = 8, spread: float = 0.3, seed: int = 0) -> tuple[Any, Any]:
    """Return vectors in groups of falling size, and the group of each."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, size)) * 5
    group = np.sort(rng.choice(groups, size=n, p=np.arange(groups, 0, -1) / np.arange(1, groups + 1).sum()))
    rng.shuffle(group)
    return (centres[group] + rng.normal(scale=spread, size=(n, size))).astype(np.float32), group


def vectors(answer: pa.Table) -> Any:
    """Return the vectors of an answer."""
    return to_numpy(answer["embedding"])


class Notes(dict[str, Any]):
    """Keeps what a stage notes."""

    def context(self, **options: Any) -> Context:
        """Return a context whose notes land here."""
        return Context(note=self.__setitem__, **options)
