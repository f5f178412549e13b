"""One cluster for all scenarios; each finds it whole. Run by `make test-cluster`, and by nothing else."""

from collections.abc import Iterator

import pytest

from tests.cluster.hosts import Cluster, missing
from tests.cluster.network import impossible


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster: three hosts in network namespaces, as root; `make test-cluster`")


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[Cluster]:
    if reason := impossible():
        pytest.skip(f"no hosts: {reason}")
    if programs := missing():
        pytest.skip(f"not installed: {', '.join(programs)} (tests/cluster/install_tools.sh)")
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(running_cluster: Cluster) -> Cluster:
    """All hosts, plugged in and in the balance."""
    running_cluster.heal()
    return running_cluster
