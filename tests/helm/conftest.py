"""The chart's tests need Helm: `make test` installs it."""

import os

import pytest

from tests.helm.chart import HELM


@pytest.fixture(autouse=True, scope="session")
def helm() -> None:
    """Skip where there is no Helm; in CI that is a failure."""
    if HELM is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no helm; python .ci/install_helm.py .venv/bin installs it")
