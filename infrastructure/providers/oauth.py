"""Bearer tokens of an OpenID provider such as Keycloak: by a user's password, or by the client's own secret.

RFC 6749: sections 4.3 (password), 4.4 (client credentials), 6 (refresh). The client says who it is by HTTP Basic
where it has a secret (2.3.1), else by its id in the form.
"""

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import aiohttp
import orjson
import structlog
from yarl import URL

from infrastructure.errors import ProviderError, ProviderProtocolError, ProviderRejected, ProviderUnavailable
from infrastructure.providers.body import TellingConnector, read_limited
from infrastructure.providers.retry import TryAgain, retry_after_seconds

log = structlog.get_logger(__name__)

MAX_ANSWER = 256 * 1024  # bytes
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

    @property
    def basic(self) -> str | None:
        """The Authorization header; None for a client without a secret."""
        if not self.client_secret:
            return None
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"


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
        self._url = token_url(url)
        self._grant = grant
        self._verify_ssl = verify_ssl
        self._seconds = seconds
        self._clock = clock
        self._token = ""
        self._refresh: str | None = None
        self._good_until = 0.0
        self._lock = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

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
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _good(self) -> bool:
        return bool(self._token) and self._clock() < self._good_until

    async def _renew(self) -> None:
        refresh, self._refresh = self._refresh, None
        if refresh is not None:
            try:
                return await self._fetch({"grant_type": "refresh_token", "refresh_token": refresh})
            except ProviderRejected:
                log.info("token_refresh_refused")  # the login has had its time: begin a new one
        return await self._fetch(self._grant.form)

    async def _fetch(self, form: dict[str, str]) -> None:
        try:
            async with asyncio.timeout(self._seconds) as scope:
                answer = await self._post(form)
        except TimeoutError as fault:
            if not scope.expired():
                raise
            raise ProviderUnavailable("The model's sign-in did not answer in time.") from fault
        except aiohttp.ClientError as fault:
            raise _passing(type(fault).__name__) from fault
        self._keep(answer)

    async def _post(self, form: dict[str, str]) -> Any:
        basic = self._grant.basic
        headers = {"Authorization": basic} if basic else {}
        fields = form if basic else {**form, "client_id": self._grant.client_id}
        data = urlencode(fields).encode()
        session = self._session or self._open()
        async with session.post(self._url, data=data, headers=headers, allow_redirects=False) as response:
            if response.status != 200:
                raise _refused(response.status, retry_after_seconds(response.headers.get("Retry-After")))
            try:
                return orjson.loads(await read_limited(response, MAX_ANSWER))
            except orjson.JSONDecodeError:
                raise _no_token() from None

    def _keep(self, answer: Any) -> None:
        token = answer.get("access_token") if isinstance(answer, Mapping) else None
        if not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()):
            raise _no_token()
        life = answer.get("expires_in")
        life = float(life) if isinstance(life, int | float) and 0 < life < 1e9 else DEFAULT_LIFE
        refresh = answer.get("refresh_token")
        self._token = token
        self._refresh = refresh if isinstance(refresh, str) and refresh else None
        self._good_until = self._clock() + life - min(EARLY_SECONDS, life / 2)

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=TellingConnector(verify_ssl=self._verify_ssl),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "askgraph",
            },
        )
        return self._session


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


def _refused(status: int, retry_after: float | None) -> ProviderError:
    log.warning("token_refused", status=status)
    if status == 429 or status >= 500:
        return _passing(f"status_{status}", retry_after)
    return ProviderRejected("The model's sign-in was refused.")


def _passing(reason: str, retry_after: float | None = None) -> TryAgain:
    return TryAgain(ProviderUnavailable("The model's sign-in cannot be reached.", retry_after=retry_after), reason)


def _no_token() -> ProviderProtocolError:
    return ProviderProtocolError("The model's sign-in gave no token.")
