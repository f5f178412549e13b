"""The MCP SDK, which takes over a second to import: in a thread, when the first server is to be reached.

Its own log lines repeat messages and addresses, and with them what may be a key: what there is to say we say ourselves.
"""

import asyncio
import importlib
import logging
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from infrastructure.mcp.config import McpServerConfig

CONNECT_SECONDS = 10.0
READ_SECONDS = 300.0  # the longest silence inside one answer; a call has its own, shorter limit
SILENCED = ("mcp", "httpx2", "httpcore2")


def silence() -> None:
    for name in SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)


async def load(module: str) -> Any:
    """Import a module of the SDK without holding up the event loop."""
    silence()
    return await asyncio.to_thread(importlib.import_module, module)


async def open_client(server: McpServerConfig, version: str, stack: AsyncExitStack) -> Any:
    """A connected `mcp.Client`, which `stack` closes: in the same task that opened it.

    A process that is started gets what the file gives it and what programs need to run at all (HOME, LANG-free PATH and
    the like, as the SDK chooses them): none of our own environment, where keys are.

    Raises:
        Exception: whatever the SDK raises, groups included, when it cannot be reached.
    """
    client_module = await load("mcp.client.client")
    types = await load("mcp_types")
    transport = await _transport(server, stack)
    client = client_module.Client(
        transport, client_info=types.Implementation(name="askgraph", version=version), cache=None
    )
    return await stack.enter_async_context(client)


async def _transport(server: McpServerConfig, stack: AsyncExitStack) -> Any:
    if server.command is not None:
        stdio = await load("mcp.client.stdio")
        nowhere = stack.enter_context(open(os.devnull, "w"))  # noqa: ASYNC230, SIM115  opens no file of a disk
        parameters = stdio.StdioServerParameters(
            command=server.command, args=list(server.args), env=dict(server.env), cwd=server.cwd,
            encoding_error_handler="replace",
        )  # fmt: skip
        return stdio.stdio_client(parameters, errlog=nowhere)
    http = await load("mcp.client.streamable_http")
    client = await stack.enter_async_context(_http_client(await load("httpx2"), server.headers))
    return http.streamable_http_client(server.url, http_client=client)


def _http_client(httpx2: Any, headers: Mapping[str, str]) -> Any:
    timeout = httpx2.Timeout(CONNECT_SECONDS, read=READ_SECONDS)
    return httpx2.AsyncClient(headers=dict(headers), timeout=timeout, trust_env=False)
