"""One cluster of three raylets for all tests of faults, and a folder of photos."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from shoal.host import Host
from tests.loopback_s3 import CREDENTIALS
from tests.runner.conftest import save

from .cluster import BUILTINS, PHOTOS, Bench, Nodes, tables, three_nodes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(300))  # the first one starts the cluster


@pytest.fixture(scope="session")
def _cluster() -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():  # workers inherit them from their nodes
            patch.setenv(name, value)
        with three_nodes() as found:
            yield found


@pytest.fixture
def nodes(_cluster: Nodes) -> Nodes:
    """The cluster with all three nodes."""
    _cluster.whole()
    return _cluster


@pytest.fixture(scope="session")
def host() -> Host:
    return Host(builtins=BUILTINS, allow=())


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(PHOTOS):
        save(folder, seed)
    return folder


@pytest.fixture
def bench(host: Host, photos: Path, tmp_path: Path) -> Bench:
    return Bench(host, photos, tmp_path)


@pytest.fixture(scope="session")
def undisturbed(host: Host, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    """The tables of a run in this process."""
    return tables(Bench(host, photos, tmp_path_factory.mktemp("undisturbed")).go(where="local"))
