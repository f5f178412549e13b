"""The network policies: these connections, and no others."""

import pytest

from tests.deploy.cluster import MANY, OVERLAYS, of_kind, overlay, pods, selected
from tests.deploy.networks import Peer, may_speak

PORTS = {"app": 8000, "redis": 6379, "pgbouncer": 6432, "postgres": 5432, "backup": 8000, "acme": 8089}
WORLD = Peer(address="203.0.113.9")
METADATA = Peer(address="169.254.169.254")
PRIVATE = [Peer(address=address) for address in ("10.10.1.10", "172.16.0.1", "192.168.1.1", "100.64.0.1")]
NAMES = Peer({"k8s-app": "kube-dns"}, "kube-system")
PROMETHEUS = Peer({"app.kubernetes.io/name": "prometheus"}, "monitoring")
STRANGERS = [
    Peer({"app.kubernetes.io/component": "app"}, "default"),
    Peer({"app.kubernetes.io/component": "backup"}, "default"),
    Peer({"app.kubernetes.io/name": "grafana"}, "monitoring"),
    Peer({"app.kubernetes.io/name": "coredns"}, "kube-system"),
    WORLD,
    *PRIVATE,
]
INTENDED = {
    ("app", "pgbouncer"), ("app", "redis"), ("pgbouncer", "postgres"), ("backup", "postgres"),
}  # fmt: skip
everywhere = pytest.mark.parametrize("name", OVERLAYS)


def own(name: str) -> str:
    space: str = overlay(name)[0]["metadata"]["name"]
    return space


def peers(name: str) -> dict[str, Peer]:
    """A pod of each component of the overlay, and the one that cert-manager would make."""
    found = {
        template["metadata"]["labels"]["app.kubernetes.io/component"]: template for template in pods(name).values()
    }
    made = {part: Peer(template["metadata"]["labels"], own(name)) for part, template in found.items()}
    return made | {"acme": Peer({"acme.cert-manager.io/http01-solver": "true"}, own(name))}


def controller(name: str) -> Peer:
    if name == "k3s":
        return Peer({"app.kubernetes.io/name": "traefik"}, "kube-system")
    return Peer({"app.kubernetes.io/name": "ingress-nginx"}, "ingress-nginx")


@everywhere
def test_every_pod_is_denied_everything_to_begin_with(name: str) -> None:
    (deny,) = (each for each in of_kind(name, "NetworkPolicy") if each["metadata"]["name"] == "default-deny")
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@everywhere
def test_every_other_policy_is_for_a_pod_that_is_there(name: str) -> None:
    labels = [peer.labels for peer in peers(name).values()]
    for policy in of_kind(name, "NetworkPolicy"):
        assert any(selected(policy["spec"]["podSelector"], each or {}) for each in labels), policy["metadata"]["name"]


@everywhere
def test_pods_speak_to_each_other_as_intended_and_no_further(name: str) -> None:
    parts = peers(name)
    open_ways = {
        (one, other)
        for one, source in parts.items()
        for other, target in parts.items()
        if one != other and may_speak(name, source, target, PORTS[other])
    }
    assert open_ways == (INTENDED if name in MANY else set())


@everywhere
def test_a_pod_is_reached_at_its_own_port_only(name: str) -> None:
    parts = peers(name)
    for one, source in [*parts.items(), ("ingress", controller(name)), ("prometheus", PROMETHEUS)]:
        for other, target in parts.items():
            assert not may_speak(name, source, target, 22), (one, other)
            assert not may_speak(name, source, target, PORTS[other], "UDP"), (one, other)


@everywhere
def test_people_come_by_the_ingress_and_figures_go_to_prometheus(name: str) -> None:
    parts = peers(name)
    assert may_speak(name, controller(name), parts["app"], 8000)
    assert may_speak(name, controller(name), parts["acme"], 8089)
    assert may_speak(name, PROMETHEUS, parts["app"], 8000)
    for part in set(parts) - {"app", "acme"}:
        assert not may_speak(name, controller(name), parts[part], PORTS[part])
        assert not may_speak(name, PROMETHEUS, parts[part], PORTS[part])


@everywhere
def test_nobody_else_comes_in(name: str) -> None:
    for part, target in peers(name).items():
        for stranger in STRANGERS:
            assert not may_speak(name, stranger, target, PORTS[part]), (stranger, part)


@everywhere
def test_only_the_service_speaks_to_the_world_and_to_nothing_private(name: str) -> None:
    for part, source in peers(name).items():
        assert may_speak(name, source, WORLD, 443) == (part == "app")
        for port in (22, 25, 80, 5432):
            assert not may_speak(name, source, WORLD, port)
        for place in (METADATA, *PRIVATE):
            assert not may_speak(name, source, place, 443)
            assert not may_speak(name, source, place, 80)


@everywhere
def test_every_pod_can_look_up_names(name: str) -> None:
    for source in peers(name).values():
        for protocol in ("UDP", "TCP"):
            assert may_speak(name, source, NAMES, 53, protocol)
        assert not may_speak(name, source, NAMES, 443)
