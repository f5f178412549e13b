"""An HTTP endpoint of a model: its address, its key, its connections."""

import asyncio
import io
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict
from yarl import URL

from infrastructure.providers.body import TellingConnector

Token = Callable[[], Awaitable[str]]
"""Gives a bearer token that is good now, for endpoints whose tokens expire."""

_LARGE = 1 << 20  # bytes; from here on aiohttp wants a body that it can send piece by piece


class Endpoint:
    """Posts JSON to `base_url` + `path` and keeps connections open. Opened at its first use, in the running loop."""

    def __init__(self, base_url: str, path: str, key: str | Token | None, connect_seconds: float) -> None:
        """
        Raises:
            ValueError: the URL is not an HTTP one, or the key cannot stand in a header. Neither is in the message.
        """
        self._url = URL(base_url.strip().rstrip("/") + path)
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise ValueError("a model's base URL must be http(s)://host[:port][/path]")
        self._token = key if callable(key) else None
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
        session = self._session or self._open()
        headers = {hdrs.AUTHORIZATION: _bearer(await self._token())} if self._token else None
        data = body if len(body) < _LARGE else io.BytesIO(body)
        return await session.post(self._url, data=data, headers=headers, allow_redirects=False)

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=TellingConnector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=self._timeout,
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
