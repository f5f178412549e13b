"""A way to a Valkey that can be cut: connections break, and no new ones come about until it is mended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

READ_BYTES = 65_536


class Cable:
    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._whole = True
        self.url = ""

    def cut(self) -> None:
        self._whole = False
        self.shake()

    def mend(self) -> None:
        self._whole = True

    def shake(self) -> None:
        """Break the connections that there are."""
        for writer in self._writers:
            writer.close()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.close()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:  # there is no server
            writer.close()
            return
        self._writers |= {writer, far_writer}
        await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
        self._writers -= {writer, far_writer}


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def cable_to(url: str) -> AsyncIterator[Cable]:
    """A cable to the server at `url`, `redis://host:port/number`; whoever uses its `url` hangs on it."""
    cable = Cable(int(url.rpartition(":")[2].partition("/")[0]))
    server = await asyncio.start_server(cable.carry, "127.0.0.1", 0)
    cable.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    try:
        yield cable
    finally:
        cable.cut()
        server.close()
        await server.wait_closed()
