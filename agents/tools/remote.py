"""Tools of MCP servers, as tools of ours."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from agents.tools.base import MAX_ARGUMENT_CHARS, Tool, ToolResult
from infrastructure.errors import ToolFailed
from infrastructure.providers.types import ToolSpec
from services.knowledge.scope import Scope


class RemoteTool(Protocol):
    """A tool of a server elsewhere. `name` is unique among all servers' and fit for a model's API."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def parameters(self) -> dict[str, Any]:
        """A JSON Schema, as the server gave it."""

    @property
    def side_effects(self) -> bool: ...

    def check(self, arguments: dict[str, Any], /) -> None:
        """
        Raises:
            ToolFailed: they are not what the schema says.
        """

    def call(self, arguments: dict[str, Any], /) -> Awaitable[str]:
        """The result's text.

        Raises:
            ToolFailed: the tool reported an error, or its server is away.
        """


class RemoteTools:
    """A registry's source: the tools of servers, made anew when `listed` gives another sequence."""

    def __init__(self, listed: Callable[[], Sequence[RemoteTool]]) -> None:
        self._listed = listed
        self._seen: Sequence[RemoteTool] = ()
        self._tools: tuple[Tool, ...] = ()

    def __call__(self) -> Sequence[Tool]:
        listed = self._listed()
        if listed is not self._seen:
            self._seen, self._tools = listed, tuple(map(remote_tool, listed))
        return self._tools


def remote_tool(remote: RemoteTool) -> Tool:
    """A tool whose arguments are checked here, by its own schema, before its server sees them."""

    def check(text: str) -> None:
        remote.check(parse_object(text))

    async def run(text: str, _: Scope) -> ToolResult:
        arguments = parse_object(text)
        remote.check(arguments)
        return ToolResult(await remote.call(arguments))

    return Tool(ToolSpec(remote.name, remote.description, remote.parameters), run, remote.side_effects, check)


def parse_object(text: str) -> dict[str, Any]:
    """A model's JSON arguments.

    Raises:
        ToolFailed: too long, no JSON that can be sent on, or no object. The message does not repeat what was sent.
    """
    if len(text) > MAX_ARGUMENT_CHARS:
        raise ToolFailed("The arguments are too long.")
    try:
        arguments = json.loads(text or "{}", parse_constant=_no_constant)
        json.dumps(arguments, ensure_ascii=False, allow_nan=False).encode()  # a lone surrogate, a number without end
    except (ValueError, RecursionError):
        raise ToolFailed("The arguments are not valid JSON.") from None
    if not isinstance(arguments, dict):
        raise ToolFailed("The arguments must be a JSON object.")
    return arguments


def _no_constant(name: str) -> None:
    raise ValueError(name)  # NaN and the infinities, which are no JSON
