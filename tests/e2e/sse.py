"""Server-sent events as a client reads them, byte for byte."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Event:
    """One event: its id, and its data as the very bytes that came."""

    id: str | None
    data: bytes

    @property
    def frame(self) -> dict[str, Any]:
        return dict(json.loads(self.data))


async def events(response: httpx.Response, comments: list[bytes] | None = None) -> AsyncIterator[Event]:
    """The events of a response, as they come; comments go to `comments`."""
    held = b""
    async for data in response.aiter_bytes():
        *blocks, held = (held + data).split(b"\n\n")
        for block in blocks:
            if block.startswith(b":"):
                if comments is not None:
                    comments.append(block)
                continue
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n"))
            name = fields.pop(b"id", None)
            assert list(fields) == [b"data"]
            yield Event(name.decode() if name is not None else None, fields[b"data"])
    assert held == b""


async def read_run(client: httpx.AsyncClient, run_id: str, *, after: int | None = None, **headers: str) -> list[Event]:
    """What `GET /runs/{run_id}/events` gives, to its end."""
    query = {} if after is None else {"after": after}
    async with client.stream("GET", f"/runs/{run_id}/events", params=query, headers=headers) as response:
        assert response.status_code == 200
        return [event async for event in events(response)]
