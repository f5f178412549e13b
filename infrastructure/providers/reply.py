"""A model's reply, put together from the chunks of an OpenAI-compatible answer."""

import re
from collections.abc import Iterable
from typing import Any

import orjson

from infrastructure.errors import ProviderProtocolError
from infrastructure.providers.refusals import refusal_in_stream
from infrastructure.providers.tool_calls import ToolCallPieces
from infrastructure.providers.types import Emit, ModelReply, ModelRequest, Usage

MAX_ANSWER = 1 << 20  # characters
_REASON = re.compile(r"[A-Za-z_]{1,64}")
_MOST_TOKENS = 1 << 31


class ReplyPieces:
    """Takes chunks (`chat.completion.chunk`, or one whole `chat.completion`) and gives on their text."""

    def __init__(self, max_answer: int = MAX_ANSWER) -> None:
        self._max_answer = max_answer
        self._texts: list[str] = []
        self._size = 0
        self._calls = ToolCallPieces()
        self._usage: Usage | None = None
        self.begun = False  # whether any event has come
        self.done = False  # whether [DONE] has come
        self.finish_reason: str | None = None

    @property
    def said(self) -> bool:
        """Whether any text has been given out."""
        return bool(self._texts)

    def read(self, payloads: Iterable[bytes], emit: Emit) -> None:
        """Take what one read brought. All its text goes out in one call, also when something after it is broken.

        Raises:
            ProviderProtocolError: not JSON, or not the right shape, or too much.
            ProviderUnavailable, ProviderRejected: it holds an error object.
        """
        texts: list[str] = []
        self.begun = True
        try:
            for payload in payloads:
                if payload == b"[DONE]":
                    self.done = True
                    break
                if text := self._take(payload):
                    texts.append(text)
        finally:
            if texts:
                text = texts[0] if len(texts) == 1 else "".join(texts)
                self._texts.append(text)
                emit(text)

    def finish(self, request: ModelRequest, model: str) -> ModelReply:
        """The whole reply.

        Raises:
            ProviderProtocolError: the stream ended before the answer did.
        """
        if not self.done and self.finish_reason is None:
            raise ended_early()
        calls = self._calls.finish()
        text = "".join(self._texts)
        reason = self.finish_reason or ("tool_calls" if calls else "stop")
        return ModelReply(text, model, reason, calls, self._usage or estimated_usage(request, text))

    def _take(self, payload: bytes) -> str:
        try:
            chunk = orjson.loads(payload)
        except orjson.JSONDecodeError:
            raise ProviderProtocolError("The model sent broken JSON.") from None
        if type(chunk) is not dict:
            raise _misshapen()
        if chunk.get("error"):
            raise refusal_in_stream(chunk["error"])
        if usage := chunk.get("usage"):
            self._usage = _usage(usage) or self._usage
        choices = chunk.get("choices")
        if type(choices) is not list:
            raise _misshapen()
        return self._take_choice(choices[0]) if choices else ""

    def _take_choice(self, choice: Any) -> str:
        if type(choice) is not dict:
            raise _misshapen()
        if (reason := choice.get("finish_reason")) is not None:
            self.finish_reason = _word(reason)
        delta = choice.get("delta")
        if delta is None:
            delta = choice.get("message")
            if delta is None and reason is not None:
                return ""
        if type(delta) is not dict:
            raise _misshapen()
        if calls := delta.get("tool_calls"):
            self._calls.add_all(calls)
        text = delta.get("content")
        if text is None:
            return ""
        if type(text) is not str:
            raise _misshapen()
        self._size += len(text)
        if self._size > self._max_answer:
            raise ProviderProtocolError("The model's answer is too long.")
        return text


def estimated_usage(request: ModelRequest, text: str) -> Usage:
    """For endpoints that do not count: four characters a token, OpenAI's rule of thumb for English."""
    prompt = sum(len(message.content) for message in request.messages)
    return Usage(-(-prompt // 4), -(-len(text) // 4))


def ended_early() -> ProviderProtocolError:
    return ProviderProtocolError("The model's answer ended early.")


def _usage(usage: Any) -> Usage | None:
    if type(usage) is not dict:
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(prompt) is not int or type(completion) is not int:
        return None
    return Usage(prompt, completion) if 0 <= prompt < _MOST_TOKENS and 0 <= completion < _MOST_TOKENS else None


def _word(reason: Any) -> str:
    if type(reason) is not str or not _REASON.fullmatch(reason):
        raise _misshapen()
    return reason


def _misshapen() -> ProviderProtocolError:
    return ProviderProtocolError("The model sent a chunk of the wrong shape.")
