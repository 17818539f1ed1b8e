"""One Label Studio for all tests of a session, and a client of it."""

from collections.abc import Iterator

import pytest

from shoal_ls.client import Server
from tests.label_studio.server import LabelStudio


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    """A real server; its document root is `label_studio.files`. Tests make projects of their own."""
    folder = tmp_path_factory.mktemp("label-studio")
    server = LabelStudio(folder / "data", folder / "files")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(label_studio: LabelStudio) -> Iterator[Server]:
    """A client of it."""
    with Server.connect(label_studio.url, token=label_studio.token) as client:
        yield client
