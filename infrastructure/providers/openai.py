"""Any OpenAI-compatible endpoint: OpenAI, OpenRouter, Ollama, vLLM, llama.cpp and their like.

A lean client, because it is on the way of every token: at 64 tokens an answer the vendor's SDK takes ten times the CPU.
"""

import asyncio
from contextlib import suppress

import aiohttp
import orjson
import structlog

from infrastructure.errors import ProviderError, ProviderProtocolError, ProviderUnavailable
from infrastructure.providers.body import broken_http, read_body, read_limited
from infrastructure.providers.chat_body import ChatBody
from infrastructure.providers.endpoint import Endpoint, Token, hang_up
from infrastructure.providers.refusals import error_words, refused_try
from infrastructure.providers.reply import MAX_ANSWER, ReplyPieces, ended_early
from infrastructure.providers.retry import TryAgain, retry_after_seconds
from infrastructure.providers.sse import MAX_LINE, DataLines
from infrastructure.providers.timeouts import NO_START, STALLED, Timeouts, Watch
from infrastructure.providers.types import Emit, ModelReply, ModelRequest

log = structlog.get_logger(__name__)

MAX_ERROR_BODY = 64 * 1024  # bytes
MAX_WHOLE_BODY = 8 << 20  # bytes: an answer of MAX_ANSWER, escaped
LET_GO_SECONDS = 0.1  # for the end of a body whose [DONE] has come


class OpenAIProvider:
    """A model behind `/chat/completions`, streamed, with tools.

    `api_key` is a key, something that gives tokens, or None. Each call is one try (`guarded.py` tries again). Nothing
    of the key, the URL or the endpoint's own words is in an error or a log line, but for its error code where that is a
    plain word.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str | Token | None,
        model: str,
        name: str = "openai",
        timeouts: Timeouts | None = None,
        verify_ssl: bool = True,
        max_answer: int = MAX_ANSWER,
        max_line: int = MAX_LINE,
    ) -> None:
        """
        Raises:
            ValueError: the URL is not an HTTP one, or the key cannot stand in a header.
        """
        self._timeouts = timeouts or Timeouts()
        self._endpoint = Endpoint(base_url, "/chat/completions", api_key, self._timeouts.connect, verify_ssl=verify_ssl)
        self._body = ChatBody(model)
        self._name = name
        self._model = model
        self._max_answer = max_answer
        self._max_line = max_line

    @property
    def name(self) -> str:
        return self._name

    @property
    def model(self) -> str:
        return self._model

    async def stream(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """Answer `request`; see `agents.ports.Model` for what holds of every model.

        Raises:
            TryAgain: a passing fault, and nothing of an answer has come.
        """
        body = self._body.encode(request)
        model = request.model or self._model
        reply = ReplyPieces(self._max_answer)
        try:
            async with asyncio.timeout(None) as scope:
                watch = Watch(scope, self._timeouts, request.deadline)
                try:
                    await self._ask(body, model, reply, emit, watch)
                finally:
                    watch.close()
            return reply.finish(request, model)
        except TimeoutError as fault:
            if not scope.expired():
                raise
            if reply.finish_reason is not None:  # only the stream's formal end is missing
                return reply.finish(request, model)
            error = ProviderUnavailable(watch.verdict)
            error.said = reply.said
            raise error from fault
        except ProviderError as error:
            error.said = reply.said
            raise

    async def aclose(self) -> None:
        await self._endpoint.aclose()

    def refused(self, status: int, model: str, error: ProviderError) -> ProviderError:
        """What a refusal by `status` comes to; a provider that knows more of its own may say more."""
        return error

    async def _ask(self, body: bytes, model: str, reply: ReplyPieces, emit: Emit, watch: Watch) -> None:
        watch.expect(self._timeouts.first_event, NO_START)
        response = None
        whole = False
        try:
            response = await self._endpoint.post(body)
            if response.status != 200:
                raise self.refused(response.status, model, await _refusal(response))
            await self._take(response, reply, emit, watch)
            whole = response.content.at_eof()
        except aiohttp.ClientError as fault:
            if reply.finish_reason is None:
                raise _broken(fault, reply.begun) from fault
        finally:
            if not whole:
                await hang_up(response)

    async def _take(self, response: aiohttp.ClientResponse, reply: ReplyPieces, emit: Emit, watch: Watch) -> None:
        if response.headers.get("Content-Type", "").lower().startswith("application/json"):
            reply.read([await read_limited(response, MAX_WHOLE_BODY)], emit)
        else:
            await self._read_stream(response, reply, emit, watch)

    async def _read_stream(
        self, response: aiohttp.ClientResponse, reply: ReplyPieces, emit: Emit, watch: Watch
    ) -> None:
        lines = DataLines(self._max_line)

        def take(data: bytes) -> bool:
            if payloads := lines.feed(data):
                reply.read(payloads, emit)
                if reply.finish_reason is None:
                    watch.alive()
                else:
                    watch.expect(self._timeouts.tail, STALLED)
            return reply.done

        await read_body(response, take)
        if reply.done:
            return await _let_go(response)
        if payloads := lines.end():
            reply.read(payloads, emit)
        if reply.finish_reason is None and not reply.done:
            raise ended_early()
        return None


async def _refusal(response: aiohttp.ClientResponse) -> ProviderError:
    """What a status other than 200 means. Of the body only the error's code and type are looked at."""
    retry_after = retry_after_seconds(response.headers.get("Retry-After"))
    try:
        answer = orjson.loads(await read_limited(response, MAX_ERROR_BODY))
    except (orjson.JSONDecodeError, aiohttp.ClientError, ProviderProtocolError):
        answer = None
    words = error_words(answer.get("error")) if isinstance(answer, dict) else ()
    log.warning("provider_refused", status=response.status, code=words[0] if words else None)
    return refused_try(response.status, words, retry_after)


async def _let_go(response: aiohttp.ClientResponse) -> None:
    """Read the body's formal end, so that the connection can be used again; it often comes a packet later."""
    if response.content.at_eof():
        return
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(LET_GO_SECONDS):
            await response.content.readany()


def _broken(fault: Exception, begun: bool) -> ProviderError:
    """What a broken connection means, before and after the answer has begun."""
    if isinstance(fault, aiohttp.ClientResponseError):
        return broken_http()
    if not begun:
        return TryAgain(ProviderUnavailable("The model cannot be reached."), type(fault).__name__)
    if isinstance(fault, aiohttp.ClientPayloadError):
        return ended_early()
    return ProviderUnavailable("The connection to the model broke.")
