"""Clients without manners: they put bytes onto the wire as they are, and read or do not read as a test wants."""

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13"}
SECONDS = 20


@dataclass(frozen=True)
class Answer:
    """One HTTP response. `headers` have lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def head(method: str, target: str, *more: str, **headers: str) -> bytes:
    """A request's head. `more` are header lines as they stand."""
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, *more, "", ""]).encode("latin-1")


@contextlib.asynccontextmanager
async def connected(
    port: int, receive_bytes: int | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TCP connection, aborted with the block. `receive_bytes` is the size of its receive buffer."""
    sock = socket.socket()
    if receive_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def exchange(port: int, *writes: bytes) -> Answer:
    """Send these bytes and read one response."""
    async with connected(port) as (reader, writer):
        for data in writes:
            writer.write(data)
        return await asyncio.wait_for(read_answer(reader), SECONDS)


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """The next response of a connection; interim ones are skipped."""
    status = 100
    while status == 100:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    if "content-length" in headers:
        return Answer(status, headers, await reader.readexactly(int(headers["content-length"])))
    pieces = []
    while headers.get("transfer-encoding") == "chunked":
        size = int(await reader.readuntil(b"\r\n"), 16)
        pieces.append((await reader.readexactly(size + 2))[:-2])
        if not size:
            break
    return Answer(status, headers, b"".join(pieces))


class RawSocket:
    """A WebSocket client that answers nothing by itself, not even a ping."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.transport = writer.transport

    def put(self, opcode: int, payload: bytes, *, fin: bool = True) -> None:
        """Send a frame, masked (RFC 6455, 5.3)."""
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else struct.pack("!BH" if size < 65536 else "!BQ",
                                                                      0xFE if size < 65536 else 0xFF, size)  # fmt: skip
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self._writer.write(bytes([opcode | (0x80 if fin else 0)]) + length + mask + masked)

    def say(self, **frame: Any) -> None:
        self.put(TEXT, json.dumps(frame).encode())

    async def flush(self) -> None:
        """Wait until the other side's kernel has taken all that was sent."""
        self.transport.set_write_buffer_limits(0)
        await self._writer.drain()

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload."""
        first, size = await self._reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack("!H", await self._reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self._reader.readexactly(8))
        return first & 0x0F, await self._reader.readexactly(size)

    async def close_code(self) -> int | None:
        """What the server closes with; None where the connection just ends."""

        async def read() -> int:
            while True:
                opcode, payload = await self.frame()
                if opcode == CLOSE:
                    return int(struct.unpack("!H", payload[:2])[0])

        try:
            return await asyncio.wait_for(read(), SECONDS)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def until(self, kind: str) -> dict[str, Any]:
        """The next text frame of that type."""
        while True:
            opcode, payload = await asyncio.wait_for(self.frame(), SECONDS)
            if opcode == TEXT and (frame := json.loads(payload))["type"] == kind:
                return dict(frame)


@contextlib.asynccontextmanager
async def raw_socket(port: int, path: str = "/ws/ask", receive_bytes: int | None = None) -> AsyncIterator[RawSocket]:
    """Open a WebSocket by hand."""
    async with connected(port, receive_bytes) as (reader, writer):
        writer.write(head("GET", path, **HANDSHAKE))
        assert (await asyncio.wait_for(read_answer(reader), SECONDS)).status == 101
        yield RawSocket(reader, writer)
