"""Any LangChain chat model, behind the same port as the lean client.

It costs some 700 µs of CPU a token where `openai.py` costs under 20; it is here for the vendors that only LangChain
speaks to. LangChain is imported where it is used: importing it takes seconds.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

import structlog

from infrastructure.errors import AskGraphError, ProviderError, ProviderProtocolError, ProviderUnavailable
from infrastructure.providers.chat_body import as_openai_tool
from infrastructure.providers.langchain_loading import known_fields
from infrastructure.providers.refusals import error_words, refusal, refused_try
from infrastructure.providers.reply import MAX_ANSWER, estimated_usage
from infrastructure.providers.retry import TryAgain, retry_after_seconds
from infrastructure.providers.timeouts import NO_START, Timeouts, Watch
from infrastructure.providers.tool_calls import ToolCallPieces
from infrastructure.providers.types import Emit, Message, ModelReply, ModelRequest, Usage

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessageChunk, BaseMessage

log = structlog.get_logger(__name__)


class LangChainProvider:
    """A `BaseChatModel` as a model of ours. It answers as the one model that it is, whatever a request names.

    Each call is one try (`guarded.py` tries again), so the wrapped model should have no retries of its own.
    """

    def __init__(
        self,
        chat_model: "BaseChatModel",
        name: str = "langchain",
        *,
        timeouts: Timeouts | None = None,
        max_answer: int = MAX_ANSWER,
    ) -> None:
        self._chat_model = chat_model
        self._name = name
        self._timeouts = timeouts or Timeouts()
        self._max_answer = max_answer

    @property
    def name(self) -> str:
        return self._name

    @property
    def model(self) -> str:
        for field in ("model_name", "model", "model_id"):
            if isinstance(found := getattr(self._chat_model, field, None), str) and found:
                return found
        return self._name

    async def stream(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """Answer `request`; see `agents.ports.Model` for what holds of every model.

        Raises:
            TryAgain: a passing fault, and nothing of an answer has come.
        """
        reply = _Reply(self._max_answer)
        try:
            async with asyncio.timeout(None) as scope:
                watch = Watch(scope, self._timeouts, request.deadline)
                watch.expect(self._timeouts.first_event, NO_START)
                try:
                    await self._read(request, reply, emit, watch)
                finally:
                    watch.close()
            return reply.finish(request, self.model)
        except TimeoutError as fault:
            if not scope.expired():
                raise
            error = ProviderUnavailable(watch.verdict)
            error.said = reply.said
            raise error from fault
        except ProviderError as error:
            error.said = reply.said
            raise

    async def aclose(self) -> None:
        """A chat model closes its own connections when it is collected."""

    async def _read(self, request: ModelRequest, reply: "_Reply", emit: Emit, watch: Watch) -> None:
        messages = [as_langchain_message(message) for message in request.messages]
        options: dict[str, Any] = {"max_tokens": request.max_tokens, "temperature": request.temperature}
        options = known_fields(type(self._chat_model), {k: v for k, v in options.items() if v is not None})
        if request.stop:
            options["stop"] = list(request.stop)
        runnable: Any = self._chat_model
        if request.tools:
            runnable = runnable.bind_tools([as_openai_tool(tool) for tool in request.tools])
        stream = cast("AsyncGenerator[AIMessageChunk]", runnable.astream(messages, **options))
        async with aclosing(stream) as chunks:
            while (chunk := await self._next(chunks, reply)) is not None:
                watch.alive()
                if text := reply.take(chunk):
                    emit(text)

    async def _next(self, chunks: "AsyncGenerator[AIMessageChunk]", reply: "_Reply") -> "AIMessageChunk | None":
        try:
            return await anext(chunks, None)
        except AskGraphError:
            raise
        except Exception as fault:  # every integration raises classes of its own
            raise self._translated(fault, reply.begun) from fault

    def _translated(self, fault: Exception, begun: bool) -> ProviderError:
        """By its status where it has one, as the SDKs' errors do; else the model is taken to be out of reach."""
        status = getattr(fault, "status_code", None) or getattr(getattr(fault, "response", None), "status_code", None)
        body = getattr(fault, "body", None)
        words = error_words(body) or error_words({"code": getattr(fault, "code", None)})
        log.warning("provider_refused", provider=self._name, error=type(fault).__name__, status=status)
        if isinstance(status, int) and status >= 300:
            return refusal(status, words) if begun else refused_try(status, words, _retry_after(fault))
        if isinstance(fault, json.JSONDecodeError | UnicodeDecodeError):
            return ProviderProtocolError("The model sent broken JSON.")
        error = ProviderUnavailable("The model cannot be reached.")
        if not begun and (isinstance(fault, OSError) or "Connect" in type(fault).__name__):
            return TryAgain(error, type(fault).__name__)
        return error


class _Reply:
    """A reply out of LangChain's message chunks."""

    def __init__(self, max_answer: int) -> None:
        self._max_answer = max_answer
        self._texts: list[str] = []
        self._size = 0
        self._calls = ToolCallPieces()
        self._usage = Usage()
        self._finish_reason: str | None = None
        self.begun = False  # whether any chunk has come

    @property
    def said(self) -> bool:
        """Whether any text has been given out."""
        return self._size > 0

    def take(self, chunk: "AIMessageChunk") -> str:
        self.begun = True
        for piece in chunk.tool_call_chunks:
            self._calls.add(piece.get("index"), piece.get("id"), piece.get("name"), piece.get("args"))
        if usage := chunk.usage_metadata:
            self._usage += Usage(usage["input_tokens"], usage["output_tokens"])
        self._finish_reason = finish_reason(chunk.response_metadata) or self._finish_reason
        text = str(chunk.text)
        self._size += len(text)
        if self._size > self._max_answer:
            raise ProviderProtocolError("The model's answer is too long.")
        self._texts.append(text)
        return text

    def finish(self, request: ModelRequest, model: str) -> ModelReply:
        text = "".join(self._texts)
        calls = self._calls.finish()
        if self._finish_reason == "tool_calls" and not calls and not text:  # integrations there are that lose them
            raise ProviderProtocolError("The model's tool calls did not come through.")
        usage = self._usage if self._usage != Usage() else estimated_usage(request, text)
        reason = "tool_calls" if calls else self._finish_reason or "stop"
        return ModelReply(text, model, reason, calls, usage)


def finish_reason(metadata: dict[str, Any]) -> str | None:
    """OpenAI's word for why an answer ended, from the words of several vendors."""
    for field in ("finish_reason", "stop_reason", "done_reason"):
        if isinstance(reason := metadata.get(field), str) and reason:
            word = reason.lower()
            return {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls"}.get(word, word)
    return None


def as_langchain_message(message: Message) -> "BaseMessage":
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

    match message.role:
        case "system":
            return SystemMessage(message.content)
        case "user":
            return HumanMessage(message.content)
        case "tool":
            return ToolMessage(message.content, tool_call_id=message.tool_call_id or "")
    calls, invalid = [], []
    for call in message.tool_calls:
        arguments = _object(call.arguments)
        if arguments is not None:
            calls.append({"name": call.name, "args": arguments, "id": call.id, "type": "tool_call"})
        else:
            broken = {"name": call.name, "args": call.arguments, "id": call.id, "error": None}
            invalid.append(broken | {"type": "invalid_tool_call"})
    return AIMessage(message.content, tool_calls=calls, invalid_tool_calls=invalid)


def _retry_after(fault: Exception) -> float | None:
    headers = getattr(getattr(fault, "response", None), "headers", None)
    return retry_after_seconds(headers.get("retry-after")) if isinstance(headers, Mapping) else None


def _object(arguments: str) -> dict[str, Any] | None:
    try:
        value = json.loads(arguments or "{}")
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
