"""The body of a `/chat/completions` request."""

from typing import Any

import orjson

from infrastructure.errors import InvalidInput
from infrastructure.providers.types import Message, ModelRequest, ToolSpec

_MOST_TOOL_SETS = 16


class ChatBody:
    """Encodes requests. A set of tools is encoded once and known again by its identity: agents keep theirs."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._tools: dict[int, tuple[tuple[ToolSpec, ...], orjson.Fragment]] = {}

    def encode(self, request: ModelRequest) -> bytes:
        """JSON bytes. A lone surrogate, which JSON in UTF-8 cannot carry, is sent as a question mark.

        Raises:
            InvalidInput: a tool's schema cannot be written as JSON.
        """
        body: dict[str, Any] = {
            "model": request.model or self._model,
            "messages": [as_openai_message(message) for message in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.max_tokens is not None:
            body["max_tokens"] = request.max_tokens
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.stop:
            body["stop"] = list(request.stop)
        if request.tools:
            body["tools"] = self._encoded_tools(request.tools)
        if request.options:
            body.update(request.options)
        try:
            return orjson.dumps(body)
        except orjson.JSONEncodeError:
            body["messages"] = _without_surrogates(body["messages"])
            return orjson.dumps(body)

    def _encoded_tools(self, tools: tuple[ToolSpec, ...]) -> orjson.Fragment:
        known = self._tools.get(id(tools))
        if known is not None:
            return known[1]
        try:
            fragment = orjson.Fragment(orjson.dumps([as_openai_tool(tool) for tool in tools]))
        except orjson.JSONEncodeError as fault:
            raise InvalidInput("A tool's schema is not JSON.") from fault
        if len(self._tools) >= _MOST_TOOL_SETS:
            self._tools.clear()
        self._tools[id(tools)] = (tools, fragment)  # the tuple is kept, so that its id stays its own
        return fragment


def as_openai_message(message: Message) -> dict[str, Any]:
    if not message.tool_calls and message.tool_call_id is None:
        return {"role": message.role, "content": message.content}
    if message.tool_calls:
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
        return {"role": message.role, "content": message.content or None, "tool_calls": calls}
    return {"role": message.role, "content": message.content, "tool_call_id": message.tool_call_id}


def as_openai_tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_surrogates(item) for key, item in value.items()}
    return value
