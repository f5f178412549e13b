"""A run's frames as server-sent events: a reader of the event log, like the sockets."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agents.ports import EventLog
from backend.http_protocol import ABORT
from infrastructure.event_log.entry import Batch, Gap
from infrastructure.websocket_manager import portions

COMMENT = b": alive\n\n"
HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}


class RunStream(Response):
    """An ASGI response that sends the frames of a run after `after`, then live ones, until its terminal frame.

    Each event is `id: <run_id>:<seq>` and `data: <frame>`. After `silence` seconds without one a comment is sent. A
    client that leaves, or does not read for `send_timeout` seconds (of which `on_slow` is told), ends the stream and
    not the run.
    """

    def __init__(
        self, log: EventLog, run_id: str, after: int = 0, *, silence: float, send_timeout: float,
        on_slow: Callable[[], None], headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.status_code, self.background = 200, None  # what FastAPI looks at; the base's own set-up is for a body
        self._log = log
        self._run_id = run_id.encode()
        self._name = run_id
        self._after = after
        self._silence = silence
        self._send_timeout = send_timeout
        self._on_slow = on_slow
        self.raw_headers = [(k.lower().encode(), v.encode()) for k, v in {**HEADERS, **(headers or {})}.items()]
        self._sent_at = 0.0
        self._sending_since: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        self._sent_at = asyncio.get_running_loop().time()
        frames = asyncio.create_task(self._send_frames(send))
        gone = asyncio.create_task(_until_disconnected(receive))
        slow = asyncio.create_task(self._watch(send))
        try:
            await asyncio.wait((frames, gone, slow), return_when=asyncio.FIRST_COMPLETED)
            if slow.done() and not frames.done():
                self._on_slow()
                if abort := scope.get("extensions", {}).get(ABORT):
                    abort()
                    await gone
        finally:
            for task in (frames, gone, slow):
                task.cancel()
            await asyncio.gather(frames, gone, slow, return_exceptions=True)
        if not frames.cancelled() and (error := frames.exception()) is not None:
            raise error

    async def _send_frames(self, send: Send) -> None:
        async with aclosing(self._log.read(self._name, self._after)) as batches:
            async for batch in batches:
                for events in portions(self._encode(batch)):
                    await self._send(send, b"".join(events), more=True)
        await self._send(send, b"", more=False)

    async def _send(self, send: Send, body: bytes, *, more: bool) -> None:
        loop = asyncio.get_running_loop()
        self._sending_since = loop.time()
        await send({"type": "http.response.body", "body": body, "more_body": more})
        self._sending_since, self._sent_at = None, loop.time()

    def _encode(self, batch: Batch) -> list[bytes]:
        events = [b"id: %b:%d\ndata: %b\n\n" % (self._run_id, entry.seq, entry.data) for entry in batch.entries]
        if batch.gap is not None:
            events[:0] = [b"data: %b\n\n" % frame for frame in gap_frames(self._name, batch.gap)]
        return events

    async def _watch(self, send: Send) -> None:
        """Say something when all is silent; return when the client does not read."""
        loop = asyncio.get_running_loop()
        pause = min(self._silence, self._send_timeout)
        while True:
            await asyncio.sleep(pause)
            now = loop.time()
            if self._sending_since is not None:
                if now - self._sending_since >= self._send_timeout:
                    return
                pause = self._sending_since + self._send_timeout - now
            elif now - self._sent_at >= self._silence:
                self._sent_at = now
                await send({"type": "http.response.body", "body": COMMENT, "more_body": True})
                pause = self._silence
            else:
                pause = self._sent_at + self._silence - now


def gap_frames(run_id: str, gap: Gap) -> tuple[bytes, bytes]:
    """The two frames that stand for frames which are gone."""
    return (
        orjson.dumps({"type": "gap", "run_id": run_id, "from": gap.first, "to": gap.last}),
        orjson.dumps({"type": "snapshot", "run_id": run_id, "answer": gap.answer, "seq": gap.last}),
    )


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
