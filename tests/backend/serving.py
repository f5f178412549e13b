"""An application on a real port, in the test's own loop."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import uvicorn

from backend.http_protocol import BoundedHttp


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve `app` over the service's own HTTP protocol; a client of it."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, http=BoundedHttp, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    )
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            yield client
    finally:
        await server.shutdown()
