"""A WebSocket peer for servers that are not ours: the same calls over plain ASGI messages."""

import asyncio
from collections import deque
from collections.abc import Sequence

from starlette.types import Message, Send

MAX_QUEUED = 1024


class AsgiPeer:
    """Fits `Peer`. While anything is queued a task sends it; `writable` is cleared where the server is far behind."""

    def __init__(self, send: Send) -> None:
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._queue: deque[Message] = deque()
        self._closed = False
        self._task: asyncio.Task[None] | None = None  # none while there is nothing to send: nothing is left behind
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
        if self._closed:
            return
        self._queue.append(message)
        if len(self._queue) >= MAX_QUEUED:
            self.writable.clear()
        if self._task is None:
            self._task = self._loop.create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._queue:
                await self._send(self._queue.popleft())
        except (RuntimeError, OSError):  # the client is gone; the receiving side hears of it
            self._closed = True
            self._queue.clear()
        finally:
            self._task = None
            self.writable.set()
