"""Bearer tokens of an OpenID provider such as Keycloak: by a user's password, or by the client's own secret.

RFC 6749: sections 4.3 (password), 4.4 (client credentials), 6 (refresh). authlib speaks to the endpoint; here is when.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from yarl import URL

from infrastructure.errors import ProviderRejected, ProviderUnavailable

log = structlog.get_logger(__name__)

EARLY_SECONDS: Final = 30.0  # a token is renewed so long before its end, or half of its life, if that is less
DEFAULT_LIFE: Final = 60.0  # seconds, where the provider does not say (RFC 6749, 5.1: it should)
KEYCLOAK_PATH: Final = "/protocol/openid-connect/token"


@dataclass(frozen=True, slots=True)
class Grant:
    """Whom tokens are asked for. With a user name: that user's; without: the client's own. Not shown in a `repr`."""

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def form(self) -> dict[str, str]:
        if self.username:
            user = {"username": self.username, "password": self.password or ""}
            return {"grant_type": "password", "scope": "openid", **user}
        return {"grant_type": "client_credentials"}


class OAuthTokens:
    """Fits `endpoint.Tokens`: gives a token that is good now, renewed before its end, by one request at a time."""

    def __init__(
        self,
        url: str,
        grant: Grant,
        *,
        verify_ssl: bool = True,
        seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`url` is the token endpoint's, or that of a Keycloak realm (`https://host/realms/name`).

        Raises:
            ValueError: it is not an HTTP one. It is not in the message.
        """
        from infrastructure.providers.token_client import TokenClient  # a quarter of a second, for who signs in

        address = str(token_url(url))
        self._client = TokenClient(address, grant.client_id, grant.client_secret, verify_ssl=verify_ssl)
        self._grant = grant
        self._seconds = seconds
        self._clock = clock
        self._token = ""
        self._refresh: str | None = None
        self._good_until = 0.0
        self._lock = asyncio.Lock()

    async def __call__(self) -> str:
        """
        Raises:
            ProviderRejected: the user or the client is refused.
            ProviderUnavailable: the provider does not answer; `TryAgain` where it may the next time.
            ProviderProtocolError: what it sends is no token.
        """
        if not self._good():
            async with self._lock:
                if not self._good():  # else it was renewed while this one waited
                    await self._renew()
        return self._token

    def refused(self, token: str) -> None:
        """The endpoint did not take `token`. One that was replaced meanwhile is nobody's fault."""
        if token == self._token:
            self._token = ""

    async def aclose(self) -> None:
        await self._client.aclose()

    def _good(self) -> bool:
        return bool(self._token) and self._clock() < self._good_until

    async def _renew(self) -> None:
        refresh, self._refresh = self._refresh, None
        if refresh is not None:
            try:
                return self._keep(await self._in_time(self._client.refresh(refresh)))
            except ProviderRejected:
                log.info("token_refresh_refused")  # the login has had its time: begin a new one
        return self._keep(await self._in_time(self._client.grant(self._grant.form)))

    async def _in_time(self, asking: Awaitable[Mapping[str, Any]]) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(self._seconds) as scope:
                return await asking
        except TimeoutError as fault:
            if not scope.expired():
                raise
            raise ProviderUnavailable("The model's sign-in did not answer in time.") from fault

    def _keep(self, answer: Mapping[str, Any]) -> None:
        life = float(answer.get("expires_in", DEFAULT_LIFE))
        self._token = answer["access_token"]
        self._refresh = answer.get("refresh_token")
        self._good_until = self._clock() + life - min(EARLY_SECONDS, life / 2)


def token_url(url: str) -> URL:
    """The token endpoint: `url` itself, or that of the Keycloak realm which it names (`master` where it names none).

    Raises:
        ValueError: it is not an HTTP one.
    """
    found = URL(url.strip().rstrip("/"))
    if found.scheme not in ("http", "https") or not found.host:
        raise ValueError("a token URL must be http(s)://host[:port][/path]")
    path = found.path.rstrip("/")
    if path.endswith("/token"):
        return found
    realm = path if "/realms/" in path else f"{path}/realms/master"
    return found.with_path(realm + KEYCLOAK_PATH)
