import pytest

from shoal.host import Host

GOOD = """\
# a comment
shoal: 1
name: good
description: a good pipeline
max_failed: 0.25
steps:
  - use: index.folder
    with: {recursive: true}
  - use: embed.tiny
    with:
      width: 8
  - use: reduce.short
    from: embed
    run: {actors: 2, batch: 32, cpus: 0.5, gpus: 0}
  - use: cluster.groups
    from: [reduce]
    with: {method: eom, eps: 1e-3, weights: {a: 1, b: 2.5}}
  - use: visualize.chart
"""


@pytest.fixture(scope="session")
def host() -> Host:
    return Host(builtins=(f"{__package__}.stages",), allow=())


@pytest.fixture
def good() -> str:
    return GOOD
