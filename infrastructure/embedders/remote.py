"""Asking a server that answers a JSON body with a JSON body: embeddings and rerankings, not streams."""

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import structlog

from infrastructure.errors import ProviderError, ProviderProtocolError, ProviderRejected, ProviderUnavailable
from infrastructure.providers.body import read_body
from infrastructure.providers.endpoint import Endpoint, Token, hang_up
from infrastructure.providers.refusals import error_words, refused_try
from infrastructure.providers.retry import Backoff, Sleep, TryAgain, retry_after_seconds, retrying

log = structlog.get_logger(__name__)

MAX_BODY = 64 << 20  # bytes: 128 vectors of 4,096 dimensions in decimal digits take 12 MB
MAX_ERROR_BODY = 64 * 1024
BAD_SHAPE = "The model's answer has the wrong shape."


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, and how often to try again. `total` is for a call with all its tries and pauses."""

    connect: float = 5.0
    one_try: float = 60.0
    total: float = 180.0
    max_retries: int = 2


class Refused(ProviderRejected):
    """A 4xx: asking again for the same is of no use."""

    def __init__(self, status: int, message: str = "The model refused the request.") -> None:
        super().__init__(message)
        self.status = status


class Remote:
    """One route of a server. Nothing of the key, the URL or the server's own words is in an error or a log line."""

    def __init__(
        self,
        base_url: str,
        path: str,
        api_key: str | Token | None,
        name: str,
        limits: Limits | None = None,
        backoff: Backoff | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """
        Raises:
            ValueError: the URL is not an HTTP one, or the key cannot stand in a header.
        """
        self._limits = limits or Limits()
        self._endpoint = Endpoint(base_url, path, api_key, self._limits.connect)
        self._name = name
        self._backoff = backoff or Backoff()
        self._sleep = sleep

    async def ask(self, question: dict[str, Any]) -> Any:
        """The answer's JSON value.

        Raises:
            Refused: a status of 4xx, but for those that another try may change.
            ProviderError: see its kinds.
        """
        body = orjson.dumps(question)
        try:
            async with asyncio.timeout(self._limits.total) as scope:
                return await retrying(
                    lambda: self._try(body),
                    max_retries=self._limits.max_retries,
                    backoff=self._backoff,
                    sleep=self._sleep,
                    on_retry=self._on_retry,
                )
        except TimeoutError as fault:
            if not scope.expired():
                raise
            raise self._failed(_too_long()) from fault
        except ProviderError as fault:
            raise self._failed(fault) from fault.__cause__

    async def aclose(self) -> None:
        await self._endpoint.aclose()

    async def _try(self, body: bytes) -> Any:
        try:
            async with asyncio.timeout(self._limits.one_try) as scope:
                return await self._answer(body)
        except TimeoutError as fault:
            if not scope.expired():
                raise
            raise TryAgain(_too_long(), "timeout") from fault

    async def _answer(self, body: bytes) -> Any:
        response = None
        whole = False
        try:
            response = await self._endpoint.post(body)
            if response.status != 200:
                raise await _refused(response)
            data = await _read(response, MAX_BODY)
            whole = True
            return orjson.loads(data)
        except aiohttp.ClientPayloadError as fault:
            raise TryAgain(ProviderUnavailable("The model's answer ended early."), "cut") from fault
        except aiohttp.ClientResponseError as fault:
            raise ProviderProtocolError("The model sent broken HTTP.") from fault
        except aiohttp.ClientError as fault:
            raise TryAgain(ProviderUnavailable("The model cannot be reached."), type(fault).__name__) from fault
        except orjson.JSONDecodeError as fault:
            raise ProviderProtocolError("The model's answer is not JSON.") from fault
        finally:
            if not whole:
                await hang_up(response)

    def _on_retry(self, failed: int, pause: float, reason: str) -> None:
        log.warning("provider_retry", provider=self._name, failed=failed, pause=round(pause, 3), reason=reason)

    def _failed(self, fault: ProviderError) -> ProviderError:
        log.warning("provider_failed", provider=self._name, kind=fault.kind, reason=fault.message)
        return fault


def without_surrogates(text: str) -> str:
    """JSON in UTF-8 cannot carry a lone surrogate: it is sent as a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


async def _refused(response: aiohttp.ClientResponse) -> Exception:
    """What a status other than 200 means. Of the body only the error's code and type are looked at."""
    retry_after = retry_after_seconds(response.headers.get("Retry-After"))
    try:
        answer = orjson.loads(await _read(response, MAX_ERROR_BODY))
    except (orjson.JSONDecodeError, aiohttp.ClientError, ProviderProtocolError):
        answer = None
    words = error_words(answer.get("error")) if isinstance(answer, dict) else ()
    log.warning("provider_refused", status=response.status, code=words[0] if words else None)
    error = refused_try(response.status, words, retry_after)
    return Refused(response.status) if isinstance(error, ProviderRejected) else error


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0

    def take(data: bytes) -> bool:
        nonlocal size
        size += len(data)
        if size > limit:
            raise ProviderProtocolError("The model sent too much.")
        pieces.append(data)
        return False

    await read_body(response, take)
    return b"".join(pieces)


def _too_long() -> ProviderUnavailable:
    return ProviderUnavailable("The model took too long to answer.")
