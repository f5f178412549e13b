"""What a WebSocket takes leaves memory with it: a collection of the old comes once in hours."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
import websockets

from backend.asgi_peer import AsgiPeer
from backend.ask_socket import AskSocket
from backend.container import Container
from backend.server import PEER, DirectWebSocket
from infrastructure.monitoring import Metrics
from infrastructure.websocket_manager import WebSocketManager
from services.principals import ANONYMOUS

SECONDS = 20


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def send(message: Any) -> None:
    """Nobody is there."""


async def test_a_conversation_leaves_memory_when_its_connection_is_over(no_collector: None) -> None:
    metrics = Metrics("1")
    manager = WebSocketManager(metrics, max_per_address=1, heartbeat_seconds=60, send_timeout=60)
    connection = manager.open(AsgiPeer(send), "203.0.113.7")
    assert connection is not None
    parts = cast(Container, SimpleNamespace(metrics=metrics))
    conversation = AskSocket(connection, parts, "203.0.113.7", ANONYMOUS, "s")
    left = weakref.ref(conversation), weakref.ref(connection)
    conversation.leave()
    manager.leave(connection)
    del conversation, connection
    assert [one() for one in left] == [None, None]


async def test_the_protocol_of_a_connection_leaves_memory_when_that_is_over(no_collector: None) -> None:
    left = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        weakref.finalize(scope["extensions"][PEER], left.set)
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    config = uvicorn.Config(app, port=0, ws=cast(Any, DirectWebSocket), log_config=None, lifespan="off")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        async with websockets.connect(f"ws://127.0.0.1:{port}/", compression=None) as client:
            await client.send("a word")
            assert not left.is_set()
        await asyncio.wait_for(left.wait(), SECONDS)
    finally:
        await server.shutdown()
