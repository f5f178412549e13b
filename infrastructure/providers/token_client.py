"""authlib's OAuth 2.0 client, held to our bounds: one address, so many bytes, and nothing but a token taken from it.

Importing this takes a quarter of a second: `oauth.py` does it where tokens are to be had.
"""

import logging
import ssl
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import quote_plus, urlencode

import httpx2
import orjson
import structlog
from authlib.integrations.httpx_client import AsyncOAuth2Client  # type: ignore[import-untyped]  # it has no types

from infrastructure.errors import ProviderError, ProviderProtocolError, ProviderRejected, ProviderUnavailable
from infrastructure.providers.retry import TryAgain, retry_after_seconds

log = structlog.get_logger(__name__)

MAX_ANSWER = 256 * 1024  # bytes
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "askgraph"}
_CHATTY = ("httpx2", "httpcore2")  # their lines name the address of each request


class TokenClient:
    """Asks one token endpoint. It keeps a connection, and no token: what comes is given back and forgotten."""

    def __init__(self, url: str, client_id: str, client_secret: str | None, *, verify_ssl: bool = True) -> None:
        """
        Raises:
            ValueError: the URL cannot be asked. It is not in the message.
        """
        try:
            self._url = str(httpx2.URL(url))
        except httpx2.InvalidURL:
            raise ValueError("a token URL must be http(s)://host[:port][/path]") from None
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        # RFC 6749, 2.3.1: both are form-encoded before they stand in the header, which authlib leaves out.
        quoted = (quote_plus(client_id), quote_plus(client_secret)) if client_secret else (client_id, None)
        # As aiohttp does for the other endpoints: the system's certificates, and no proxy out of the environment.
        # The time for an answer is set by whoever asks.
        verify = ssl.create_default_context() if verify_ssl else False
        self._oauth = AsyncOAuth2Client(
            *quoted,
            transport=_Bounded(httpx2.AsyncHTTPTransport(verify=verify, trust_env=False)),
            headers=_HEADERS,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            timeout=None,
            follow_redirects=False,
            trust_env=False,
        )
        for moment in ("access_token_response", "refresh_token_response"):
            self._oauth.register_compliance_hook(moment, _token_alone)

    async def grant(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """A token by the grant that `form` is: `access_token`, `expires_in` and, where there is one, `refresh_token`.

        Raises:
            ProviderRejected: the user or the client is refused.
            TryAgain: it cannot be reached, or has a fault of its own, which may pass.
            ProviderProtocolError: what it sends is no token.
        """
        fields = {name: value for name, value in form.items() if name != "grant_type"}
        return await self._asked(
            self._oauth.fetch_token(self._url, body=urlencode(fields), grant_type=form["grant_type"])
        )

    async def refresh(self, refresh_token: str) -> Mapping[str, Any]:
        """The same by a refresh token, which is given back where another does not come (RFC 6749, 6)."""
        return await self._asked(self._oauth.refresh_token(self._url, refresh_token=refresh_token))

    async def aclose(self) -> None:
        await self._oauth.aclose()

    async def _asked(self, asking: Any) -> Mapping[str, Any]:
        try:
            return dict(await asking)
        except httpx2.HTTPError as fault:
            name = type(fault).__name__  # its words may repeat what the endpoint sent
        finally:
            self._oauth.token = None
        raise _passing(name)


class _Bounded(httpx2.AsyncBaseTransport):
    """Reads of an answer no more than a token can have, and of a refusal nothing but its status."""

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._transport.handle_async_request(request)
        try:
            if response.status_code != 200:
                raise _refused(response.status_code, retry_after_seconds(response.headers.get("Retry-After")))
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise _no_token()  # it was asked for none: a few bytes could become very many
            body = bytearray()
            async for data in response.aiter_raw():
                body += data
                if len(body) > MAX_ANSWER:
                    raise _no_token()
        finally:
            await response.aclose()
        return httpx2.Response(200, content=bytes(body), request=request)

    async def aclose(self) -> None:
        await self._transport.aclose()


def _token_alone(response: httpx2.Response) -> httpx2.Response:
    """The answer with the fields of a token that are what they have to be: authlib does not look at them."""
    try:
        answer = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        answer = None
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(token, str) or not _can_be_sent(token):
        raise _no_token()
    found: dict[str, Any] = {"access_token": token, "token_type": "Bearer"}
    life, refresh = answer.get("expires_in"), answer.get("refresh_token")
    if isinstance(life, int | float) and 0 < life < 1e9:
        found["expires_in"] = life
    if isinstance(refresh, str) and refresh:
        found["refresh_token"] = refresh
    return httpx2.Response(200, json=found, request=response.request)


def _can_be_sent(token: str) -> bool:
    return bool(token) and token.isascii() and token.isprintable()


def _refused(status: int, retry_after: float | None) -> ProviderError:
    log.warning("token_refused", status=status)
    if status == 429 or status >= 500:
        return _passing(f"status_{status}", retry_after)
    return ProviderRejected("The model's sign-in was refused.")


def _passing(reason: str, retry_after: float | None = None) -> TryAgain:
    return TryAgain(ProviderUnavailable("The model's sign-in cannot be reached.", retry_after=retry_after), reason)


def _no_token() -> ProviderProtocolError:
    return ProviderProtocolError("The model's sign-in gave no token.")
