"""Responses that are written bit by bit, and a run's frames as server-sent events."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agents.ports import EventLog
from backend.http_protocol import ABORT
from infrastructure.errors import AskGraphError
from infrastructure.event_log.entry import Batch, Gap
from infrastructure.websocket_manager import portions

COMMENT = b": alive\n\n"
EVENTS = "text/event-stream; charset=utf-8"
HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class Stream(Response):
    """An ASGI response whose body `write` puts out, piece by piece.

    The head leaves with `begin` or the first piece: until then an error of ours becomes its own status, after it the
    connection ends without the body's end. A client that leaves, or does not read for `send_timeout` seconds (of which
    `on_slow` is told), ends the stream. After `silence` seconds without a piece, `sign_of_life` is sent.
    """

    content_type = EVENTS

    def __init__(
        self, *, silence: float, send_timeout: float, on_slow: Callable[[], None],
        headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.status_code, self.background = 200, None  # what FastAPI looks at; the base's own set-up is for a body
        fields = {"content-type": self.content_type, **HEADERS, **(headers or {})}
        self.raw_headers = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
        self._silence = silence
        self._send_timeout = send_timeout
        self._on_slow = on_slow
        self._begun = False
        self._sent_at = 0.0
        self._sending_since: float | None = None

    async def write(self) -> None:
        """Put out the whole body."""
        raise NotImplementedError

    def sign_of_life(self) -> bytes:
        return COMMENT

    async def begin(self) -> None:
        """Send the head, if it has not left yet."""
        if not self._begun:
            self._begun = True
            await self._out({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

    async def put(self, body: bytes, *, more: bool = True) -> None:
        """Send a piece; waits for a client that reads slowly."""
        if not self._begun:
            await self.begin()
        loop = asyncio.get_running_loop()
        self._sending_since = loop.time()
        await self._out({"type": "http.response.body", "body": body, "more_body": more})
        self._sending_since, self._sent_at = None, loop.time()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._out = send
        self._sent_at = asyncio.get_running_loop().time()
        writing = asyncio.create_task(self._write())
        gone = asyncio.create_task(_until_disconnected(receive))
        slow = asyncio.create_task(self._watch())
        try:
            await asyncio.wait((writing, gone, slow), return_when=asyncio.FIRST_COMPLETED)
            error = writing.exception() if writing.done() else None
            too_slow = slow.done() and not writing.done()
            if too_slow:
                self._on_slow()
            abort = scope.get("extensions", {}).get(ABORT)
            if abort and (too_slow or (self._begun and isinstance(error, AskGraphError))):
                abort()
                await gone
                error = None
        finally:
            for task in (writing, gone, slow):
                task.cancel()
            await asyncio.gather(writing, gone, slow, return_exceptions=True)
        if error is not None:
            raise error

    async def _write(self) -> None:
        await self.write()
        await self.put(b"", more=False)

    async def _watch(self) -> None:
        """Say something when all is silent; return when the client does not read."""
        loop = asyncio.get_running_loop()
        pause = longest = min(self._silence, self._send_timeout)
        while True:
            await asyncio.sleep(pause)
            now = loop.time()
            if self._sending_since is not None:
                if now - self._sending_since >= self._send_timeout:
                    return
                pause = self._sending_since + self._send_timeout - now
            elif now - self._sent_at >= self._silence:
                self._sent_at = now
                await self.begin()
                await self._out({"type": "http.response.body", "body": self.sign_of_life(), "more_body": True})
                pause = longest
            else:
                pause = min(longest, self._sent_at + self._silence - now)


class RunStream(Stream):
    """The frames of a run after `after`, then live ones, until its terminal frame.

    Each event is `id: <run_id>:<seq>` and `data: <frame>`. Whoever leaves ends the stream and not the run.
    """

    def __init__(
        self, log: EventLog, run_id: str, after: int = 0, *, silence: float, send_timeout: float,
        on_slow: Callable[[], None], headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(silence=silence, send_timeout=send_timeout, on_slow=on_slow, headers=headers)
        self._log = log
        self._run_id = run_id.encode()
        self._name = run_id
        self._after = after

    async def write(self) -> None:
        await self.begin()
        async with aclosing(self._log.read(self._name, self._after)) as batches:
            async for batch in batches:
                for events in portions(self._encode(batch)):
                    await self.put(b"".join(events))

    def _encode(self, batch: Batch) -> list[bytes]:
        events = [b"id: %b:%d\ndata: %b\n\n" % (self._run_id, entry.seq, entry.data) for entry in batch.entries]
        if batch.gap is not None:
            events[:0] = [b"data: %b\n\n" % frame for frame in gap_frames(self._name, batch.gap)]
        return events


def gap_frames(run_id: str, gap: Gap) -> tuple[bytes, bytes]:
    """The two frames that stand for frames which are gone."""
    return (
        orjson.dumps({"type": "gap", "run_id": run_id, "from": gap.first, "to": gap.last}),
        orjson.dumps({"type": "snapshot", "run_id": run_id, "answer": gap.answer, "seq": gap.last}),
    )


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
