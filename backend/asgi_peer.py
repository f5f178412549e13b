"""A WebSocket peer for servers that are not ours: the same calls over plain ASGI messages."""

import asyncio
from collections.abc import Sequence

from starlette.types import Message, Send

MAX_QUEUED = 1024


class AsgiPeer:
    """Fits `Peer`. One task sends what is queued; `writable` is cleared while it waits for the server."""

    def __init__(self, send: Send) -> None:
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        self._closed = False
        self._task = self._loop.create_task(self._work())
        self.writable = asyncio.Event()
        self.writable.set()

    @property
    def last_seen(self) -> float:
        """Plain ASGI tells of no pongs: here the server's own keep-alive looks after dead peers."""
        return self._loop.time()

    @last_seen.setter
    def last_seen(self, value: float) -> None:
        raise AttributeError("set by the server")

    def write(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            self._put({"type": "websocket.send", "text": frame.decode()})

    def ping(self) -> None:
        """The server sends its own."""

    def close(self, code: int, reason: str, abort_after: float) -> None:
        self._put({"type": "websocket.close", "code": code, "reason": reason})
        self._closed = True

    def _put(self, message: Message) -> None:
        if not self._closed:
            self._queue.put_nowait(message)
            if self._queue.qsize() >= MAX_QUEUED:
                self.writable.clear()

    async def _work(self) -> None:
        while True:
            message = await self._queue.get()
            try:
                await self._send(message)
            except (RuntimeError, OSError):  # the client is gone; the receiving side hears of it
                self._closed = True
            if self._queue.empty():
                self.writable.set()
            if message["type"] == "websocket.close" or self._closed:
                return
