"""UMAP on an NVIDIA GPU."""

from typing import TYPE_CHECKING

import numpy as np

from shoal_plugins.reduce._layout import layouts_for

if TYPE_CHECKING:
    from shoal_plugins.reduce._layout import Plan
    from shoal_plugins.reduce._matrix import Matrix


def lay_out_on_gpu(vectors: "Matrix", plan: "Plan") -> "Matrix":
    """Return layouts side by side, shape (n, components * layouts), scaled as `_layout.lay_out` does."""
    from cuml.manifold import UMAP

    count = layouts_for(len(vectors), plan.layouts)
    parts = []
    for number in range(count):
        model = UMAP(
            n_components=plan.components, n_neighbors=min(plan.neighbors, len(vectors)), min_dist=plan.min_dist,
            metric=plan.metric, n_epochs=plan.epochs, random_state=(plan.seed + number * 7919) % 2**31,
        )  # fmt: skip
        parts.append(np.asarray(model.fit_transform(vectors), dtype=np.float32))
    return np.hstack(parts) / np.float32(np.sqrt(count))
