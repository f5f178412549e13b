"""A chat's events as a client reads them."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx


class ChatEvents:
    """The events of a response, in order. `names` are those of the `event:` lines that were read."""

    def __init__(self, response: httpx.Response) -> None:
        self.names: list[str] = []
        self._events = self._read(response)

    async def next(self, seconds: float = 20) -> dict[str, Any]:
        return await asyncio.wait_for(anext(self._events), seconds)

    async def until(self, event_type: str, **data: Any) -> list[dict[str, Any]]:
        """The events up to and with the first of that type whose data has all of `data`."""
        read = []
        while True:
            read.append(await self.next())
            if read[-1]["event_type"] == event_type and {**read[-1]["data"], **data} == read[-1]["data"]:
                return read

    async def rest(self) -> list[dict[str, Any]]:
        """What comes until the stream ends as it should."""
        async with asyncio.timeout(20):
            return [event async for event in self._events]

    async def _read(self, response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
        held = b""
        async for data in response.aiter_bytes():
            *blocks, held = (held + data).split(b"\n\n")
            for block in blocks:
                name, body = block.split(b"\n")
                assert name.startswith(b"event: ")
                assert body.startswith(b"data: ")
                self.names.append(name.removeprefix(b"event: ").decode())
                event = json.loads(body.removeprefix(b"data: "))
                assert event["event_type"] == self.names[-1]
                yield event
        assert held == b""
