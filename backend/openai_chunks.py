"""Completions as OpenAI writes them: whole, or in chunks of which all that stays the same is written once."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from backend.openai_answers import Ending
from infrastructure.error_handlers import STATUS_OF_KIND
from infrastructure.errors import AskGraphError
from infrastructure.openai_errors import openai_error, openai_status
from infrastructure.providers.types import ToolCall, Usage

DONE = b"data: [DONE]\n\n"


class Chunks:
    """The events of one stream. With `with_usage` a last chunk tells what it used, and the others that it is yet to."""

    def __init__(self, completion_id: str, created: int, model: str, *, with_usage: bool) -> None:
        head = {"id": completion_id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._head = b"data: " + orjson.dumps(head | {"system_fingerprint": None})[:-1]
        self._with_usage = with_usage
        self._end = (b',"usage":null' if with_usage else b"") + b"}\n\n"
        self._before_text = self._head + b',"choices":[{"index":0,"delta":{"content":'
        self._after_text = b'},"logprobs":null,"finish_reason":null}]' + self._end

    def first(self) -> bytes:
        return self._delta({"role": "assistant", "content": "", "refusal": None}, None)

    def text(self, text: str) -> bytes:
        return self._before_text + orjson.dumps(text) + self._after_text

    def last(self, ending: Ending) -> bytes:
        """All that comes behind the words."""
        events = []
        if ending.tool_calls:
            calls = [{"index": index, **tool_call(call)} for index, call in enumerate(ending.tool_calls)]
            events.append(self._delta({"tool_calls": calls}, None))
        delta = {"annotations": annotations(ending.citations)} if ending.citations else {}
        events.append(self._delta(delta, ending.finish_reason))
        if self._with_usage:
            events.append(self._head + b',"choices":[],"usage":' + orjson.dumps(usage(ending.usage)) + b"}\n\n")
        return b"".join(events) + DONE

    def _delta(self, delta: Mapping[str, Any], finish_reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._head + b',"choices":' + orjson.dumps([choice]) + self._end


def whole(completion_id: str, created: int, model: str, text: str, ending: Ending) -> bytes:
    """A `chat.completion` as JSON."""
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if ending.citations:
        message["annotations"] = annotations(ending.citations)
    if ending.tool_calls:
        message["tool_calls"] = [tool_call(call) for call in ending.tool_calls]
        message["content"] = text or None
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": ending.finish_reason}
    return orjson.dumps(
        {
            "id": completion_id, "object": "chat.completion", "created": created, "model": model,
            "system_fingerprint": None, "choices": [choice], "usage": usage(ending.usage),
        }
    )  # fmt: skip


def error_event(error: AskGraphError) -> bytes:
    """What ends a stream that has begun: nothing comes behind it."""
    status = openai_status(error.kind, STATUS_OF_KIND.get(error.kind, 500))
    return b"data: " + orjson.dumps(openai_error(error.kind, status, error.message)) + b"\n\n"


def annotations(citations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "file_citation", "file_citation": citation} for citation in citations]


def tool_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def usage(used: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens + used.completion_tokens,
    }
