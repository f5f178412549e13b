"""One MCP server: connected for as long as it answers, and again after it went away."""

import asyncio
import hashlib
import random
import re
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import structlog

from infrastructure.errors import ToolFailed
from infrastructure.mcp.config import McpServerConfig
from infrastructure.mcp.content import text_of
from infrastructure.mcp.schema import Check, InvalidSchema, checker
from infrastructure.mcp.sdk import open_client

log = structlog.get_logger()
CONNECT_SECONDS = 30.0  # until its tools are known; one that is started may have to be downloaded by its command
REFRESH_SECONDS = 60.0  # how often it is asked for its tools anew, which also tells whether it is there
CALL_SECONDS = 60.0  # a bound of last resort: whoever calls has a shorter one
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
MAX_CALLS = 16  # at once
MAX_TOOLS, MAX_PAGES = 64, 20
MAX_NAME_CHARS = 64  # of a function's name, by OpenAI's API
MAX_DESCRIPTION_CHARS = 2000
MAX_ERROR_CHARS = 500
AWAY = "The tool's server is away. Do without it."


@dataclass(frozen=True, slots=True)
class McpTool:
    """A tool as its server describes it. `name` is `<server>__<tool>`, spelt as models' APIs want it."""

    name: str
    description: str
    parameters: dict[str, Any]
    side_effects: bool
    check: Check
    call: Callable[[dict[str, Any]], Awaitable[str]]


class McpServer:
    """Keeps one server connected. `tools` are those that can be called now; a new tuple whenever they change."""

    def __init__(self, name: str, config: McpServerConfig, version: str, changed: Callable[[], None]) -> None:
        self.name = name
        self.tools: tuple[McpTool, ...] = ()
        self._config = config
        self._version = version
        self._changed = changed
        self._client: Any = None
        self._broken = asyncio.Event()
        self._calls = asyncio.Semaphore(MAX_CALLS)
        self._described: list[Any] = []
        self._pause = FIRST_PAUSE

    async def run(self) -> None:
        """Connect, and connect again, until cancelled. Pauses double from half a second to a minute."""
        task = asyncio.current_task()
        while True:
            try:
                await self._connected()
            except Exception as error:  # noqa: BLE001  a server may fail in any way: it costs only its tools
                if task is not None and task.cancelling():  # what failed was the way out
                    raise asyncio.CancelledError from None
                pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
                log.warning("mcp server is away", server=self.name, error=_kind(error), again_in=pause)
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311  no secret hangs on it

    async def _connected(self) -> None:
        """Be connected until it breaks; raises what broke it, or returns where a call found it broken."""
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(CONNECT_SECONDS):
                client = await open_client(self._config, self._version, stack)
                described = await _listed(client)
            stack.callback(self._leave)
            self._broken.clear()
            self._client, self._pause = client, FIRST_PAUSE
            await self._take(described)
            log.info("mcp server connected", server=self.name, tools=len(self.tools))
            while not await self._breaks_within(REFRESH_SECONDS):
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._take(await _listed(client))

    async def _breaks_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._broken.wait()
        except TimeoutError:
            return False

    def _leave(self) -> None:
        self._client, self._described, self.tools = None, [], ()
        self._changed()

    async def _take(self, described: list[Any]) -> None:
        if described == self._described:
            return
        self._described = described
        self.tools = tuple(await asyncio.to_thread(self._usable, described))
        self._changed()

    def _usable(self, described: Iterable[Any]) -> list[McpTool]:
        tools: dict[str, McpTool] = {}
        for one in described:
            if self._config.allow is not None and one.name not in self._config.allow:
                continue
            try:
                tool = self._tool(one)
            except InvalidSchema:
                log.warning("an mcp tool's schema cannot be used", server=self.name, tool=one.name[:100])
                continue
            if len(tools) >= MAX_TOOLS or tool.name in tools:
                log.warning("an mcp tool is left out", server=self.name, tool=tool.name)
                continue
            tools[tool.name] = tool
        return list(tools.values())

    def _tool(self, one: Any) -> McpTool:
        async def call(arguments: dict[str, Any]) -> str:
            return await self._call(one.name, arguments)

        return McpTool(
            tool_name(self.name, one.name),
            (one.description or one.title or one.name)[:MAX_DESCRIPTION_CHARS],
            one.input_schema,
            has_side_effects(one.name, one.annotations, self._config.side_effects),
            checker(one.input_schema),
            call,
        )

    async def _call(self, name: str, arguments: dict[str, Any]) -> str:
        client = self._client
        if client is None:
            raise ToolFailed(AWAY)
        try:
            async with self._calls:
                result = await client.call_tool(name, arguments, read_timeout_seconds=CALL_SECONDS)
        except Exception as error:  # noqa: BLE001  the SDK's, its transports' and its validators': all cost this call
            raise ToolFailed(self._failure(error, client)) from None
        text = text_of(result)
        if result.is_error:
            raise ToolFailed(f"The tool reported an error: {text[:MAX_ERROR_CHARS]}")
        return text

    def _failure(self, error: Exception, client: Any) -> str:
        """What the model is told. Where it is the connection that failed, another one is made."""
        from mcp.shared.exceptions import MCPError
        from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT

        log.warning("mcp tool failed", server=self.name, error=_kind(error))
        if isinstance(error, MCPError) and error.code not in (CONNECTION_CLOSED, REQUEST_TIMEOUT):
            return f"The tool's server refused the call: {error.message[:MAX_ERROR_CHARS]}"
        if isinstance(error, MCPError) and error.code == REQUEST_TIMEOUT:
            return "The tool took too long."
        if client is self._client:
            self._broken.set()
        return AWAY


async def _listed(client: Any) -> list[Any]:
    tools: list[Any] = []
    cursor = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools.extend(page.tools)
        cursor = page.next_cursor
        if not cursor:
            break
    return tools


def tool_name(server: str, tool: str) -> str:
    """`<server>__<tool>` in the letters that models' APIs allow; too long a one ends in a digest of itself."""
    name = f"{server}__{re.sub(r'[^A-Za-z0-9_-]', '_', tool)}"
    if len(name) <= MAX_NAME_CHARS:
        return name
    return f"{name[: MAX_NAME_CHARS - 9]}_{hashlib.sha256(tool.encode('utf-8', 'replace')).hexdigest()[:8]}"


def has_side_effects(name: str, annotations: Any, configured: bool | frozenset[str] | None) -> bool:
    """Whether a person is asked first: as the file says, else by the tool's own hints, else yes.

    MCP takes a tool for one that changes and destroys unless it says otherwise. It is trusted where it says that it
    only reads, or, saying nothing of reading, that it destroys nothing.
    """
    if isinstance(configured, bool):
        return configured
    if configured is not None:
        return name in configured
    if annotations is None:
        return True
    if annotations.read_only_hint is not None:
        return not annotations.read_only_hint
    return annotations.destructive_hint is not False


def _kind(error: BaseException) -> str:
    """The error's class, inside groups too: messages may hold addresses with keys."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return type(error).__name__
