"""The MCP servers of the settings, opened."""

import asyncio
import os
from contextlib import AsyncExitStack

from backend.settings import Settings
from infrastructure.mcp.config import McpConfigError, McpServerConfig, read_config
from infrastructure.mcp.servers import McpServers


class McpSettingsError(Exception):
    """MCP_CONFIG names a file that cannot be used. One line, for whoever starts the service."""


def configured(settings: Settings) -> dict[str, McpServerConfig]:
    """The servers that the settings name.

    Raises:
        McpSettingsError: the file cannot be used.
    """
    if settings.mcp_config is None:
        return {}
    try:
        return read_config(settings.mcp_config, os.environ)
    except McpConfigError as error:
        raise McpSettingsError(f"MCP_CONFIG: {error}") from None


async def open_mcp_servers(settings: Settings, version: str, stack: AsyncExitStack) -> McpServers:
    """The servers, being connected beside everything else; none where MCP_CONFIG is not set.

    Raises:
        McpSettingsError: the file cannot be used.
    """
    servers = await asyncio.to_thread(configured, settings)
    return await stack.enter_async_context(McpServers(servers, version).running())
