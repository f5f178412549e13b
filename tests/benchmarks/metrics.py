"""What counting costs: the middleware on the cheapest route, and a scrape with ten thousand series behind it.

python -m tests.benchmarks.metrics

Server and client are in one thread, whose processor time is what is told. Rounds with and without the middleware take
turns, on the same application.
"""

import asyncio
import gc
import socket
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from backend.http_protocol import BoundedHttp
from backend.main import create_app
from backend.settings import Settings
from infrastructure.monitoring import Metrics
from middleware.metrics import RequestMetrics

ROUTE = "/health/live"
ASKED = f"GET {ROUTE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
LAST = f"GET {ROUTE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
ROUNDS, REQUESTS = 301, 50
SERIES = 10_000
SCRAPES = 31


def application(folder: Path) -> FastAPI:
    (folder / "knowledge").mkdir()
    settings = Settings(
        _env_file=None,
        data_dir=folder / "data",
        cache_dir=folder / "cache",
        KNOWLEDGE_DIR=folder / "knowledge",
        log_level="ERROR",
    )
    return create_app(settings)


def stacks(app: FastAPI) -> tuple[ASGIApp, ASGIApp]:
    """All of its middleware around the same routes, without and with what counts requests."""
    whole = app.build_middleware_stack()
    app.user_middleware = [one for one in app.user_middleware if cast(Any, one.cls) is not RequestMetrics]
    return app.build_middleware_stack(), whole


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[int]:
    """Its port, on the service's own HTTP protocol."""
    config = uvicorn.Config(
        app, http=BoundedHttp, lifespan="off", log_config=None, access_log=False, server_header=False
    )
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve([listener]))
    yield listener.getsockname()[1]
    server.should_exit = True
    await serving


async def seconds(port: int) -> float:
    """Of this thread's processor, for REQUESTS requests on one connection."""
    began = time.thread_time()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(ASKED * (REQUESTS - 1) + LAST)
    answers = await reader.read(-1)
    taken = time.thread_time() - began
    writer.close()
    assert answers.count(b"HTTP/1.1 200 OK") == REQUESTS
    return taken


async def middleware(folder: Path) -> None:
    app = application(folder)
    async with app.router.lifespan_context(app), served(app) as port:
        both = stacks(app)
        taken: tuple[list[float], list[float]] = ([], [])
        gc.disable()  # a collection is nobody's in particular
        for number in range(ROUNDS):
            for which in (0, 1) if number % 2 else (1, 0):
                app.middleware_stack = both[which]
                taken[which].append(await seconds(port))
    without, counted = [statistics.median(times) / REQUESTS * 1e6 for times in taken]
    pairs = statistics.median(b / a for a, b in zip(*taken, strict=True)) - 1
    print(f"GET {ROUTE}: {without:.1f} µs without, {counted:.1f} µs with; the median of pairs: {pairs:+.1%}")


async def scrape() -> None:
    metrics = Metrics("1")
    endpoint = 0
    while True:
        for method in ("GET", "POST", "PUT", "DELETE"):
            for status in (200, 401, 404, 422):
                metrics.request(method, f"/api/v1/things/{{thing_id}}/parts{endpoint}", status, endpoint / 100)
        endpoint += 1
        body = await metrics.scrape(False)
        found = sum(not line.startswith(b"#") for line in body.splitlines())
        if found >= SERIES:
            break
    for name, openly in (("text", False), ("OpenMetrics", True)):
        times = []
        for _ in range(SCRAPES):
            began = time.perf_counter()
            body = await metrics.scrape(openly)
            times.append(time.perf_counter() - began)
        print(f"a scrape of {found} series, {name}: {statistics.median(times) * 1000:.1f} ms, {len(body) / 1e6:.2f} MB")


async def main() -> None:
    await scrape()
    with TemporaryDirectory() as folder:
        await middleware(Path(folder))


if __name__ == "__main__":
    asyncio.run(main())
