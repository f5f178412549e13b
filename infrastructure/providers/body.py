"""Reading a response's body in the very call in which its bytes arrive.

aiohttp wakes a task for every read; at one token a read that turn costs more than all that is done with the token.
Here the connection tells the reader at once, and the task that waits wakes when the body is over.
"""

import asyncio
import functools
from collections.abc import Callable
from contextvars import copy_context

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError

from infrastructure.errors import ProviderProtocolError

Take = Callable[[bytes], bool]
"""Takes what one read brought; True: it needs no more."""


def broken_http() -> ProviderProtocolError:
    return ProviderProtocolError("The model sent broken HTTP.")


class TellingConnector(aiohttp.TCPConnector):
    """A connector whose connections tell `read_body` of each read."""

    def __init__(self, *, verify_ssl: bool = True) -> None:
        super().__init__(limit=0, ssl=verify_ssl)
        self._factory = functools.partial(_handler, self._loop)


class _TellingHandler(ResponseHandler):
    """aiohttp's own protocol, which parses; and then whoever reads the body is told that there is something."""

    tell: Callable[[], None] | None = None
    garbled = False  # whether what came was no HTTP

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._reading_paused:  # else there is nothing to resume; a body says this at every read
            super().resume_reading(resume_parser)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.tell is not None:
            self.tell()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.garbled = isinstance(self.exception(), HttpProcessingError)  # whose place the loss is to take
        super().connection_lost(exc)
        if self.tell is not None:
            self.tell()


def _handler(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return _TellingHandler(loop)


async def read_body(response: aiohttp.ClientResponse, take: Take) -> None:
    """Give the body of `response` to `take`, piece by piece, until that has enough or the body ends.

    `take` is called in this task's context. What it raises ends the reading and is raised here.

    Raises:
        aiohttp.ClientError: the connection broke.
        ProviderProtocolError: what came was no HTTP.
    """
    reading = _Reading(response.content, take)
    connection = response.connection
    handler = connection.protocol if connection is not None else None
    if not isinstance(handler, _TellingHandler):  # all of the body is here already
        reading.lost = True
        reading.on()
        return await reading.over
    context = copy_context()  # a connection's own is that of the request that opened it

    def tell() -> None:
        reading.lost, reading.garbled = handler.transport is None, handler.garbled
        if not reading.inside:  # else it is under way, in this very context, and sees what has come
            context.run(reading.on)
        if reading.over.done():
            handler.tell = None

    handler.tell = tell
    try:
        tell()
        await reading.over
    finally:
        if handler.tell is tell:  # by now it may be reading for someone else
            handler.tell = None


async def read_limited(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """All of the body.

    Raises:
        ProviderProtocolError: it has more than `limit` bytes.
        aiohttp.ClientError: the connection broke.
    """
    pieces: list[bytes] = []
    size = 0

    def take(data: bytes) -> bool:
        nonlocal size
        size += len(data)
        if size > limit:
            raise ProviderProtocolError("The model sent too much.")
        pieces.append(data)
        return False

    await read_body(response, take)
    return b"".join(pieces)


class _Reading:
    def __init__(self, content: aiohttp.StreamReader, take: Take) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._content = content
        self._take = take
        self.inside = False  # taking what is there may have aiohttp parse what it had held back, and tell of it
        self.lost = False  # whether the connection is
        self.garbled = False  # and that because what came was no HTTP

    def on(self) -> None:
        """Something came, or the connection is lost."""
        if self.over.done():
            return
        self.inside = True
        try:
            while data := self._content.read_nowait():
                if self._take(data):
                    return self.over.set_result(None)
            if self._content.at_eof():
                self.over.set_result(None)
            elif self.lost:  # aiohttp 3.14 tells the connection alone when the chunked coding was broken
                self.over.set_exception(
                    broken_http() if self.garbled else aiohttp.ClientPayloadError("connection closed")
                )
        except Exception as fault:  # noqa: BLE001  it belongs to the task that waits, not to the transport
            self.over.set_exception(fault)
        finally:
            self.inside = False
        return None
