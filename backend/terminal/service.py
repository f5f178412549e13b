"""The service over HTTP, and who asks it: nobody, the owner of an API key, or a user with a login."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx2

from backend.terminal.address import Address
from backend.terminal.failures import Refused, SignInNeeded, Unreachable
from backend.terminal.fields import number_of, text_of

API = "/api/v1"
_EARLY_SECONDS = 60.0  # a token with less time left than this is renewed before it is used
_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)
_GOODBYE_SECONDS = 2.0
_UNAUTHORIZED = 401


class Service:
    """Every call is made as whoever is signed in. A login's access token is renewed by itself.

    Tokens are in memory only, and the login is ended with the client.
    """

    def __init__(self, address: Address, key: str | None = None) -> None:
        self.address = address
        self._key = key
        self._access = ""
        self._refresh = ""
        self._renew_at = 0.0
        self.username = ""
        self._client = httpx2.AsyncClient(
            base_url=address.http, timeout=_TIMEOUT, trust_env=not address.loopback, headers={"User-Agent": "askgraph"}
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the login, and the connections."""
        try:
            if self._refresh:
                await self.log_out()
        except (Refused, Unreachable):
            pass  # its tokens end by themselves
        finally:
            await self._client.aclose()

    @property
    def signed_in(self) -> bool:
        return bool(self._key or self._access)

    async def log_in(self, username: str, password: str) -> None:
        """
        Raises:
            Refused: the service does not know them, or there were too many tries.
        """
        answer = await self._send("POST", f"{API}/auth/login", json={"username": username, "password": password})
        self._take_tokens(_json_of(answer))
        self._key, self.username = None, username

    async def log_out(self) -> None:
        """End the login, here and at the service; forget an API key."""
        headers, body = self._headers(), {"refresh_token": self._refresh}
        had_login, self._key = bool(self._refresh), None
        self._access = self._refresh = self.username = ""
        if had_login:
            await self._send("POST", f"{API}/auth/logout", json=body, headers=headers, timeout=_GOODBYE_SECONDS)

    async def headers(self) -> dict[str, str]:
        """The headers that say who asks, with a token that is good for a while.

        Raises:
            SignInNeeded: the login has ended.
        """
        if self._refresh and time.monotonic() >= self._renew_at:
            await self._renew()
        return self._headers()

    async def expired(self) -> None:
        """The service did not know the token: get another.

        Raises:
            SignInNeeded: there is none to be got.
        """
        if not self._refresh:
            raise SignInNeeded
        await self._renew()

    async def json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The JSON object that a route below `/api/v1` answers with."""
        return _json_of(await self.call(method, path, **options))

    async def call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """
        Raises:
            Refused, SignInNeeded, Unreachable: see there.
        """
        for again in (False, True):
            try:
                return await self._send(method, API + path, headers=await self.headers(), **options)
            except Refused as error:
                if error.status != _UNAUTHORIZED:
                    raise
                if again or "files" in options:  # what was sent of a file is not there to be sent again
                    raise SignInNeeded from None
                await self.expired()
        raise SignInNeeded

    async def _renew(self) -> None:
        token, self._refresh = self._refresh, ""  # each can be used once
        try:
            answer = await self._send("POST", f"{API}/auth/refresh", json={"refresh_token": token})
        except Refused as error:
            self._access = ""
            if error.status == _UNAUTHORIZED:
                raise SignInNeeded("Your login has ended.") from None
            raise
        except Unreachable:
            self._refresh = token
            raise
        self._take_tokens(_json_of(answer))

    def _take_tokens(self, tokens: Mapping[str, Any]) -> None:
        self._access, self._refresh = text_of(tokens, "access_token"), text_of(tokens, "refresh_token")
        seconds = number_of(tokens, "expires_in") or 0.0
        self._renew_at = time.monotonic() + max(seconds - _EARLY_SECONDS, seconds / 2)
        if not self._access.isascii() or not self._access.isprintable() or not self._access:
            self._access = self._refresh = ""
            raise Refused("The service gave no token.")

    def _headers(self) -> dict[str, str]:
        token = self._key or self._access
        return {"Authorization": f"Bearer {token}"} if token else {}

    async def _send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            answer = await self._client.request(method, path, **options)
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise Unreachable(f"{self.address.http} does not answer: {type(error).__name__}") from None
        if answer.is_success:
            return answer
        raise _refused(answer)


def _refused(answer: httpx2.Response) -> Refused:
    status = answer.status_code
    try:
        body = _json_of(answer)
    except Refused:
        body = {}
    problems = [f"{text_of(one, 'msg')}" for one in body.get("errors", []) if isinstance(one, dict)]
    said = "; ".join(filter(None, [text_of(body, "detail"), *problems])) or f"The service answered {status}."
    return Refused(said, status, text_of(body, "type"))


def _json_of(answer: httpx2.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused("What answers there is no AskGraph service.", answer.status_code)
    return body
