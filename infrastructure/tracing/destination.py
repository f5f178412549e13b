"""Where traces go."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Destination:
    """`url` is the whole address. `alone`: the exporter's environment variables, which are another destination's, say
    nothing about this one. `timeout` is in seconds, of a request with its retries. `basic`: user and password.
    """

    name: str
    url: str = field(repr=False)  # may have credentials in it
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    basic: tuple[str, str] | None = field(default=None, repr=False)
    alone: bool = False
    timeout: float = 10.0
    compression: str = "none"  # gzip, deflate
    certificate: str | None = None
    client_key: str | None = None
    client_certificate: str | None = None
