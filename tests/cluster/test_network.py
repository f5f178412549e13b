"""What the scenarios are built on: hosts that can be cut off, and only as far as is meant."""

import socket

import pytest

from tests.cluster.hosts import APPS, EDGE, PGBOUNCER, VALKEY, Cluster
from tests.cluster.network import NOBODY
from tests.cluster.processes import accepts

pytestmark = pytest.mark.cluster


def test_the_hosts_are_no_part_of_this_machine(cluster: Cluster) -> None:
    assert cluster.balanced().keys() == APPS.keys()
    with socket.socket() as wire:
        wire.settimeout(0.2)
        assert wire.connect_ex((EDGE, 8080)) != 0


def test_what_is_lost_is_lost_both_ways_and_nothing_else_is(cluster: Cluster) -> None:
    network = cluster.network
    for address in (VALKEY, PGBOUNCER):
        port = {VALKEY: 6379, PGBOUNCER: 6432}[address]
        network.lose("app1", address)
        assert not accepts(network, "app1", address, port)
        network.ip("app1", "neigh", "delete", address, "dev", "eth0")  # what the host says arrives: the answer does not
        assert not accepts(network, "app1", address, port)
        assert accepts(network, "app2", address, port)
        network.ip("app1", *f"neigh replace {address} lladdr {NOBODY} nud permanent dev eth0".split())
        network.find("app1", address)
        assert accepts(network, "app1", address, port)


def test_a_host_without_its_cable_hears_nothing_and_has_it_back(cluster: Cluster) -> None:
    cluster.network.unplug("roaming")
    assert not accepts(cluster.network, "roaming", EDGE, 8080)
    cluster.network.plug("roaming")
    assert accepts(cluster.network, "roaming", EDGE, 8080)
