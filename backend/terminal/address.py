"""Where the service is."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from backend.terminal.failures import BadAddress

_SOCKETS = {"http": "ws", "https": "wss"}


@dataclass(frozen=True, slots=True)
class Address:
    """`http` has no slash at its end. `loopback`: this machine, which no proxy leads to."""

    http: str
    socket: str
    loopback: bool


def parse_address(url: str) -> Address:
    """
    Raises:
        BadAddress: it is not an http(s) URL of a host, or has more in it than scheme, host, port and path.
    """
    try:
        parts = urlsplit(url.strip())
        port, host = parts.port, parts.hostname
    except ValueError:
        raise BadAddress("--url is not a URL") from None
    scheme = _SOCKETS.get(parts.scheme)
    if scheme is None or not host or not parts.netloc.isprintable() or " " in parts.netloc:
        raise BadAddress("--url must be http://host or https://host, with a port where it needs one")
    if "@" in parts.netloc:
        raise BadAddress("--url must not name a user or a password: sign in with --username, or by ASKGRAPH_API_KEY")
    if parts.query or parts.fragment:
        raise BadAddress("--url must end with the path, without ? and #")
    place = f"{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"
    return Address(f"{parts.scheme}://{place}", f"{scheme}://{place}/ws/ask", _is_loopback(host))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
