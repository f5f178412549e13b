"""All MCP servers of a process, each kept connected by a task of its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from infrastructure.mcp.config import McpServerConfig
from infrastructure.mcp.server import McpServer, McpTool


class McpServers:
    """`tools` are those of the servers that are there now: the same tuple until something changes."""

    def __init__(self, servers: Mapping[str, McpServerConfig], version: str) -> None:
        self._servers = [McpServer(name, config, version, self._forget) for name, config in servers.items()]
        self._tools: tuple[McpTool, ...] | None = None
        self._changes = asyncio.Event()

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are configured, there or not."""
        return tuple(server.name for server in self._servers)

    def tools(self) -> Sequence[McpTool]:
        if self._tools is None:
            self._tools = tuple(tool for server in self._servers for tool in server.tools)
        return self._tools

    async def changed(self) -> None:
        """Returns when the tools change next."""
        await self._changes.wait()

    def _forget(self) -> None:
        self._tools = None
        self._changes.set()
        self._changes = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["McpServers"]:
        """Connect beside other work, which none of them holds up; end the connections with the block."""
        tasks = [asyncio.create_task(server.run(), name=f"mcp {server.name}") for server in self._servers]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
