"""An HTTP endpoint of a model: its address, its key, its connections."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, runtime_checkable

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict
from yarl import URL

from infrastructure.providers.body import TellingConnector
from infrastructure.providers.prompt_request import PromptRequest

Token = Callable[[], Awaitable[str]]
"""Gives a bearer token that is good now, for endpoints whose tokens expire."""


@runtime_checkable
class Tokens(Protocol):
    """Bearer tokens that expire, and that can be found to be bad before."""

    async def __call__(self) -> str:
        """A token that should be good now."""

    def refused(self, token: str) -> None:
        """The endpoint did not take `token`: the next call gives another."""


_UNAUTHORIZED = 401
_LARGE = 1 << 20  # bytes; from here on aiohttp wants a body that it can send piece by piece


class Endpoint:
    """Posts JSON to `base_url` + `path`, or gets it, and keeps connections open. Opened at its first use, in the
    running loop. Where `key` gives tokens, one that is refused is asked for anew, once a call.
    """

    def __init__(
        self, base_url: str, path: str, key: str | Token | None, connect_seconds: float, *, verify_ssl: bool = True
    ) -> None:
        """
        Raises:
            ValueError: the URL is not an HTTP one, or the key cannot stand in a header. Neither is in the message.
        """
        self._url = URL(base_url.strip().rstrip("/") + path)
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise ValueError("a model's base URL must be http(s)://host[:port][/path]")
        self._token = key if callable(key) else None
        self._verify_ssl = verify_ssl
        self._headers = CIMultiDict(
            {
                hdrs.CONTENT_TYPE: "application/json",
                hdrs.ACCEPT: "text/event-stream, application/json",
                hdrs.ACCEPT_ENCODING: "identity",  # a compressed stream waits in the compressor
                hdrs.USER_AGENT: "askgraph",
            }
        )
        if isinstance(key, str) and key.strip():
            self._headers[hdrs.AUTHORIZATION] = _bearer(key)
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_seconds, sock_connect=connect_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, body: bytes) -> aiohttp.ClientResponse:
        """The response's head; its body is still to be read. Redirects are given back as they are."""
        return await self._ask(hdrs.METH_POST, body)

    async def get(self) -> aiohttp.ClientResponse:
        """As `post`, without a body."""
        return await self._ask(hdrs.METH_GET, None)

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, method: str, body: bytes | None) -> aiohttp.ClientResponse:
        if self._token is None:
            return await self._send(method, body, None)
        token = await self._token()
        response = await self._send(method, body, token)
        if response.status != _UNAUTHORIZED or not isinstance(self._token, Tokens):
            return response
        await hang_up(response)
        self._token.refused(token)
        return await self._send(method, body, await self._token())

    async def _send(self, method: str, body: bytes | None, token: str | None) -> aiohttp.ClientResponse:
        session = self._session or self._open()
        headers = {hdrs.AUTHORIZATION: _bearer(token)} if token is not None else None
        data: Any = io.BytesIO(body) if body is not None and len(body) >= _LARGE else body
        return await session.request(method, self._url, data=data, headers=headers, allow_redirects=False)

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=TellingConnector(verify_ssl=self._verify_ssl),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=self._timeout,
            request_class=PromptRequest,
        )
        return self._session


async def hang_up(response: aiohttp.ClientResponse | None) -> None:
    """Close the connection under a response that is not read to its end. It is closed when this returns."""
    if response is not None:
        transport = response.connection.transport if response.connection is not None else None
        if transport is not None:
            transport.abort()
        response.close()
    await asyncio.sleep(0)  # transports close their socket in the loop's next turn


def _bearer(key: str) -> str:
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError("a model's key must be printable ASCII")
    return f"Bearer {key}"
