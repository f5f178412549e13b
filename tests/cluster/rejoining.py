"""Clients that lose their connection and go on where they were, as the contract lets them.

    client = RejoiningClient(session, ["http://192.0.2.31:8080"])
    answer = await client.ask("What is a fjord?", uuid4().hex)

A client is one conversation. It asks on a WebSocket; when that ends, or shows no sign of life, it connects again, to
any of its addresses: with a run it attaches behind its last frame, without one it asks again under the same request id.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

import aiohttp

from tests.cluster.progress import Answer, Broken, Progress

SILENCE_SECONDS = 3.0
PATIENCE_SECONDS = 90.0
PAUSES = (0.1, 0.5)  # seconds before the next attempt, by chance: those who were cut off do not come back all at once
LOST = (aiohttp.ClientError, OSError, TimeoutError)


class Interrupted(Exception):
    """The connection is over, or of no more use; a new one may go on."""


class Refused(Interrupted):
    """The service says that it cannot, now."""


class RejoiningClient:
    """`silence`: seconds without a frame after which the other end counts as gone; after a third of it the client asks
    for a sign of life. `patience`: seconds for a whole answer, with all that happens meanwhile.
    """

    def __init__(
        self, session: aiohttp.ClientSession, urls: Sequence[str], *, silence: float = SILENCE_SECONDS,
        patience: float = PATIENCE_SECONDS, on_frame: Callable[[Answer], None] = lambda answer: None,
    ) -> None:  # fmt: skip
        self.session_id = str(uuid4())
        self._on_frame = on_frame
        self._session = session
        self._urls = urls
        self._silence = silence
        self._patience = patience

    async def ask(self, question: str, request_id: str) -> Answer:
        """Ask, and read to the run's end.

        Raises:
            Broken: what came is not what the contract says.
            TimeoutError: no end came in time.
        """
        progress = Progress(Answer(question, request_id, self.session_id))
        try:
            async with asyncio.timeout(self._patience):
                while not progress.ended:
                    await self._attempt(progress)
        except TimeoutError:
            raise TimeoutError(f"no end of {progress.answer}") from None
        return progress.answer

    async def read(self, run_id: str, after: int = 0) -> Answer:
        """Read a run that is there already, behind that frame."""
        progress = Progress(Answer("", "", self.session_id, run_id), after)
        async with asyncio.timeout(self._patience):
            while not progress.ended:
                await self._attempt(progress)
        return progress.answer

    async def _attempt(self, progress: Progress) -> None:
        """Use one connection for as long as it lasts."""
        answer = progress.answer
        try:
            await self._go_on(progress)
            return
        except Refused:
            answer.refused += 1
        except (Interrupted, *LOST) as loss:
            answer.rejoined += 1
            answer.losses.append(f"{type(loss).__name__} behind frame {progress.after}: {loss}")
        if not progress.ended:
            await asyncio.sleep(random.uniform(*PAUSES))

    async def _go_on(self, progress: Progress) -> None:
        url = random.choice(self._urls) + "/ws/ask"
        async with asyncio.timeout(self._silence):
            socket = await self._session.ws_connect(url, max_msg_size=0, autoclose=True)
        try:
            await socket.send_json(self._request(progress))
            while not progress.ended:
                self._take(progress, await self._frame(socket))
        finally:
            with suppress(*LOST):  # a peer that is gone does not say goodbye
                async with asyncio.timeout(1.0):
                    await socket.close()

    def _request(self, progress: Progress) -> dict[str, Any]:
        answer = progress.answer
        if answer.run_id is not None:
            return {"type": "attach", "run_id": answer.run_id, "after": progress.after}
        return {
            "type": "question", "question": answer.question, "session_id": self.session_id,
            "request_id": answer.request_id,
        }  # fmt: skip

    def _take(self, progress: Progress, frame: dict[str, Any]) -> None:
        if frame["type"] == "error" and "seq" not in frame:
            if not frame.get("retryable"):
                raise Broken(f"refused for good: {frame}; {progress.answer}")
            raise Refused
        self._note(progress, frame)

    def _note(self, progress: Progress, frame: dict[str, Any]) -> None:
        progress.take(frame)
        if "seq" in frame:
            self._on_frame(progress.answer)

    async def _frame(self, socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
        """The next frame; a server that has nothing to say is asked for a sign of life."""
        end = time.monotonic() + self._silence
        while True:
            try:
                async with asyncio.timeout(self._silence / 3):
                    message = await socket.receive()
            except TimeoutError:
                if time.monotonic() >= end:
                    raise Interrupted("no sign of life") from None
                await socket.send_json({"type": "ping"})
                continue
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise Interrupted(f"closed: {socket.close_code}")
            frame: dict[str, Any] = json.loads(message.data)
            return frame


class RejoiningReader(RejoiningClient):
    """The same over server-sent events: asks with an `Idempotency-Key`, comes back with `Last-Event-ID`."""

    async def _go_on(self, progress: Progress) -> None:
        method, path, options = self._call(progress)
        waits = aiohttp.ClientTimeout(total=None, sock_connect=self._silence, sock_read=self._silence)
        url = random.choice(self._urls) + path
        async with self._session.request(method, url, timeout=waits, **options) as response:
            if response.status != 200:
                raise _refusal(response.status, await response.text())
            async for name, frame in _events(response):
                self._note(progress, frame)
                if name is not None and name != f"{frame['run_id']}:{frame['seq']}":
                    raise Broken(f"an event named {name}: {frame}")
        if not progress.ended:
            raise Interrupted("the stream has ended")

    def _call(self, progress: Progress) -> tuple[str, str, dict[str, Any]]:
        answer = progress.answer
        if answer.run_id is not None:
            return "GET", f"/runs/{answer.run_id}/events", {"headers": self._place(progress)}
        body = {"question": answer.question, "session_id": self.session_id}
        return "POST", "/v2/ask-stream", {"json": body, "headers": {"Idempotency-Key": answer.request_id}}

    def _place(self, progress: Progress) -> dict[str, str]:
        return {"Last-Event-ID": f"{progress.answer.run_id}:{progress.after}"} if progress.after else {}


async def _events(response: aiohttp.ClientResponse) -> Any:
    """The id and the frame of each event."""
    name: str | None = None
    async for line in response.content:
        if line.startswith(b"id: "):
            name = line[4:].decode().strip()
        elif line.startswith(b"data: "):
            yield name, json.loads(line[6:])
            name = None


def _refusal(status: int, body: str) -> Exception:
    if status in (429, 502, 503, 504):
        return Refused()
    return Broken(f"refused for good: {status} {body}")
