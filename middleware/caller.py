"""Who is calling: the peer's address, or what a trusted proxy says that it is."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

UNKNOWN = "unknown"


class Caller:
    """Puts the address into `scope["state"]["caller"]`.

    `X-Forwarded-For` is read from the right, past trusted proxies, and only when the peer itself is one
    (RFC 7239, section 8.1: what stands left of the first untrusted address may be made up).
    """

    def __init__(self, app: ASGIApp, trusted_proxies: Iterable[str]) -> None:
        self.app = app
        self._trusted = [ip_network(proxy, strict=False) for proxy in trusted_proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            state = scope.setdefault("state", {})
            state["caller"], state["via_proxy"] = self._caller(scope)
        await self.app(scope, receive, send)

    def _caller(self, scope: Mapping[str, Any]) -> tuple[str, bool]:
        client = scope.get("client")
        peer = client[0] if client else UNKNOWN
        if not self._trusted or not _is_in(peer, self._trusted):
            return peer, False
        for hop in reversed(_forwarded_for(scope)):
            address = hop.strip()
            if not _is_address(address):
                break
            peer = address
            if not _is_in(address, self._trusted):
                break
        return peer, True


def _forwarded_for(scope: Mapping[str, Any]) -> list[str]:
    """All hops that were noted. A proxy may add a line of its own behind the client's, so every line counts."""
    return ",".join(Headers(scope=dict(scope)).getlist("x-forwarded-for")).split(",")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_in(text: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return any(address in network for network in networks)
