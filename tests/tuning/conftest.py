"""A pipeline over small pictures whose reduction and clustering are real and fast."""

import pytest

from shoal.host import Host
from shoal.pipeline import Pipeline, parse

from ..runner.conftest import photos  # noqa: F401

PIPELINE = """
shoal: 1
name: small
steps:
  - use: index.folder
  - use: embed.colours
  - use: reduce.pca
    with: {components: 4}
  - use: cluster.hdbscan
    from: reduce
    with: {min_cluster_size: 5, min_samples: 2}
  - use: label.numbered
"""


@pytest.fixture(scope="session")
def host() -> Host:
    return Host(
        builtins=(
            "shoal_plugins.index.folder", "shoal_plugins.reduce.pca", "shoal_plugins.reduce.umap",
            "shoal_plugins.cluster.hdbscan", "shoal_plugins.cluster.kmeans", "tests.runner.stages",
        ),
        allow=(),
    )  # fmt: skip


@pytest.fixture
def pipeline(host: Host) -> Pipeline:
    return parse(PIPELINE, host)
