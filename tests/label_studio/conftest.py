"""A client of Label Studio, and runs to review."""

import secrets
import shutil
from collections.abc import Iterator

import pytest

import shoal
from shoal.catalogue import Run
from shoal_ls.client import Server
from tests.label_studio.runs import make_run
from tests.label_studio.server import LabelStudio


@pytest.fixture
def server(label_studio: LabelStudio) -> Iterator[Server]:
    """A client of it."""
    with Server.connect(label_studio.url, token=label_studio.token) as client:
        yield client


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of 20 little pictures under hostile names: three clusters, two images of noise. Tests leave it as it is."""
    return make_run(tmp_path_factory.mktemp("made-run"))


@pytest.fixture
def run(made_run: Run, label_studio: LabelStudio) -> Run:
    """A copy of it below the server's document root, without surfaces."""
    folder = label_studio.files / secrets.token_hex(4)
    shutil.copytree(made_run.store.root.local_or_raise("a test"), folder)
    return shoal.open(folder)
