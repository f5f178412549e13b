"""Who may speak to whom, by an overlay's policies: Kubernetes' rules for them, as far as these use them."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from tests.deploy.cluster import containers, of_kind, overlay, pods, selected
from tests.deploy.kustomizing import Object


@dataclass(frozen=True)
class Peer:
    """One end of a connection: a pod by its labels and its namespace's name, or an address of the world outside."""

    labels: Object | None = None
    namespace: str = ""
    address: str = ""


def may_speak(name: str, source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether the overlay's policies let `source` open a connection to `target`'s port."""
    out = _allowed(name, "Egress", source, target, port, protocol)
    return out and _allowed(name, "Ingress", target, source, port, protocol)


def _allowed(name: str, way: str, guarded: Peer, other: Peer, port: int, protocol: str) -> bool:
    own = overlay(name)[0]["metadata"]["name"]
    if guarded.labels is None or guarded.namespace != own:
        return True  # no policy of ours holds there
    policies = [
        each["spec"]
        for each in of_kind(name, "NetworkPolicy")
        if way in each["spec"]["policyTypes"] and selected(each["spec"]["podSelector"], guarded.labels)
    ]
    rules = [rule for spec in policies for rule in spec.get(way.lower(), [])]
    ends, server = ("to", other) if way == "Egress" else ("from", guarded)
    return not policies or any(
        _port(name, rule, server, port, protocol) and any(_peer(each, other, own) for each in rule[ends])
        for rule in rules
    )


def _port(name: str, rule: Object, server: Peer, port: int, protocol: str) -> bool:
    named = {port, *_names_of(name, server, port)}
    return any(each["protocol"] == protocol and each["port"] in named for each in rule["ports"])


def _names_of(name: str, server: Peer, port: int) -> Iterator[str]:
    for template in pods(name).values():
        if server.labels is not None and template["metadata"]["labels"] == server.labels:
            for container in containers(template):
                yield from (each["name"] for each in container.get("ports", []) if each["containerPort"] == port)


def _peer(wanted: Object, other: Peer, own: str) -> bool:
    if "ipBlock" in wanted:
        block: Object = wanted["ipBlock"]
        nets = [ip_network(net) for net in block.get("except", [])]
        return bool(other.address) and _in(other.address, ip_network(block["cidr"])) and not any(
            _in(other.address, net) for net in nets
        )  # fmt: skip
    if other.labels is None:
        return False
    spaces = wanted.get("namespaceSelector")
    here = (
        other.namespace == own if spaces is None else selected(spaces, {"kubernetes.io/metadata.name": other.namespace})
    )
    return here and selected(wanted.get("podSelector", {}), other.labels)


def _in(address: str, net: IPv4Network | IPv6Network) -> bool:
    return ip_address(address) in net
