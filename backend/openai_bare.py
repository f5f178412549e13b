"""A provider's model asked as it is."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from agents.ports import Model
from agents.writer import valid_text
from backend.openai_answers import Ending
from backend.openai_completions import Completions
from infrastructure.errors import AskGraphError, ProviderError
from infrastructure.providers.reply import estimated_usage
from infrastructure.providers.types import ModelReply, ModelRequest, ToolCall, Usage

CHARS_PER_TOKEN = 4  # as in `estimated_usage`
_KNOWN_REASONS = ("stop", "length", "tool_calls", "content_filter")


class BareAnswer:
    """A provider's model's. It is asked when the first of it is wanted.

    `used` is told once what it took: what the model's endpoint counted, else an estimate of four characters a token. An
    answer that was cut is estimated, from the moment on in which it was asked for.
    """

    def __init__(
        self, answer_id: str, model: Model, request: ModelRequest, used: Callable[[Usage], None],
        completions: Completions | None = None,
    ) -> None:  # fmt: skip
        self.id = answer_id
        self._model = model
        self._request = request
        self._used = used
        self._completions = completions
        self._pending: list[str] = []
        self._told = 0  # characters
        self._arrived = asyncio.Event()
        self._asking: asyncio.Task[ModelReply] | None = None
        self._stopped: AskGraphError | None = None

    async def texts(self) -> AsyncGenerator[str, None]:
        asking = self._begun()
        while not asking.done() or self._pending:
            await self._arrived.wait()
            self._arrived.clear()
            if self._pending:
                text = "".join(self._pending)  # a slow reader finds in one what came while it read: MAX_ANSWER at most
                self._pending.clear()
                self._told += len(text)
                yield text

    async def end(self) -> Ending:
        try:
            reply = await self._begun()
        except asyncio.CancelledError:
            if self._stopped is not None:
                raise self._stopped from None
            raise
        reason = reply.finish_reason if reply.finish_reason in _KNOWN_REASONS else "stop"
        return Ending(reason, reply.usage, tool_calls=[_valid_call(call) for call in reply.tool_calls])

    async def leave(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        if self._completions is not None:
            self._completions.remove(self)

    def stop(self, error: AskGraphError) -> None:
        """End it with `error` behind the words that came, where it has not ended by itself."""
        if self._asking is not None and not self._asking.done():
            self._stopped = error
            self._asking.cancel()

    def _begun(self) -> "asyncio.Task[ModelReply]":
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(), name=f"completion {self.id}")
            self._asking.add_done_callback(lambda _: self._arrived.set())
            if self._completions is not None:
                self._completions.add(self)
        return self._asking

    async def _ask(self) -> ModelReply:
        try:
            reply = await self._model.stream(self._request, self._put)
        except asyncio.CancelledError:
            self._used(self._estimate())
            raise
        except ProviderError as error:
            if error.said:
                self._used(self._estimate())
            raise
        self._used(reply.usage)
        return reply

    def _estimate(self) -> Usage:
        """Of what was sent, and what has come."""
        characters = self._told + sum(map(len, self._pending))
        return estimated_usage(self._request, "") + Usage(0, -(-characters // CHARS_PER_TOKEN))

    def _put(self, text: str) -> None:
        self._pending.append(valid_text(text))
        self._arrived.set()


def _valid_call(call: ToolCall) -> ToolCall:
    return ToolCall(valid_text(call.id), valid_text(call.name), valid_text(call.arguments))
