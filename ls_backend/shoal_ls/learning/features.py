"""What heads read of a run: the clusters as people left them, and the embeddings that they were made of."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from shoal.catalogue import Run
from shoal.errors import UsageError
from shoal.records import StepRecord, clustering
from shoal.reviewing.apply import CLUSTERS
from shoal.vectors import to_numpy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLUMN = "embedding"


def reviewed_clusters(run: Run) -> pa.Table:
    """Return the clusters of a run's current version: `id`, `cluster`, `decided`; no row where nobody reviewed it."""
    seen = run.look()
    return seen.version_table("cluster") if seen.version else CLUSTERS.empty_table()


def embedder(run: Run) -> StepRecord:
    """Return the step whose embeddings the run's clusters come from, before any reduction.

    Raises:
        UsageError: the run has no clusters, or none made of embeddings.
    """
    name = clustering(run.record)
    step = run.record.step(name) if name else None
    while step is not None and not step.stage.startswith("embed."):
        source = step.sources.get(COLUMN)
        step = run.record.step(source) if source else None
    if step is None:
        raise UsageError(f"run {run.id} has no clusters made of embeddings; there is nothing that a head could read")
    return step


def embeddings(run: Run, ids: Sequence[str]) -> "NDArray[np.float32]":
    """Return the embeddings of images, (n, d), in order; only these are held in memory."""
    made = embedder(run)
    rows = run.store.rows(made.stage, made.fingerprint)
    schema = rows.schema()
    if schema is None:
        raise UsageError(f"the embeddings of run {run.id} are gone; run the same pipeline again to compute them")
    (column,) = rows.read(pa.array(ids, pa.string()), pa.schema([schema.field(COLUMN)]))
    return to_numpy(column)
