"""A re-joining client that keeps its connection from question to question, and can be told where to go."""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.cluster.progress import Answer, Progress
from tests.cluster.rejoining import LOST, Interrupted, Refused, RejoiningClient


@dataclass
class Heard(Answer):
    """What a client knows of one run while it goes on. Times are `time.monotonic()`."""

    asked_of: int = -1  # the place of the worker that took the question
    ended: bool = False
    words: int = 0  # `word` frames since the last beginning
    restarted_at: list[float] = field(default_factory=list)
    asked_at: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        seconds = time.monotonic() - self.asked_at
        return (
            f"run {self.run_id}, asked of worker {self.asked_of} {seconds:.1f} s ago: {len(self.arrivals)} frames, "
            f"{self.words} with words, {self.rejoined} re-joins, {self.restarts} restarts, {self.refused} refusals, "
            f"{self.gaps} gaps, error {self.error}"
        )


class ConversingClient(RejoiningClient):
    """`on_heard` is told of every frame of a run, when it was found right. Not for two questions at once."""

    def __init__(
        self, session: aiohttp.ClientSession, urls: Sequence[str], *, chance: random.Random,
        on_heard: Callable[[Heard], None] = lambda heard: None, **more: Any,
    ) -> None:  # fmt: skip
        super().__init__(session, urls, **more)
        self._chance = chance
        self._on_heard = on_heard
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self.worker = -1  # the place of its URL
        self.only: int | None = None  # a worker that it stays with

    async def aclose(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            with suppress(*LOST):
                await socket.close()

    async def converse(self, heard: Heard) -> None:
        """Ask as `ask` does, where what has been heard so far can be looked at."""
        heard.session_id = self.session_id
        progress = _Noting(heard)
        while not progress.ended:
            await self._attempt(progress)

    async def move(self, worker: int) -> None:
        """Go to another worker, and stay there."""
        self.only = worker
        if worker != self.worker:
            await self.aclose()

    async def _go_on(self, progress: Progress) -> None:
        try:
            socket = self._socket or await self._connect()
            heard = progress.answer
            if isinstance(heard, Heard) and heard.run_id is None:
                heard.asked_of = self.worker
            await socket.send_json(self._request(progress))
            while not progress.ended:
                self._take(progress, await self._frame(socket))
                if isinstance(heard, Heard):
                    self._on_heard(heard)
        except Refused:  # the connection is as good as before
            raise
        except (Interrupted, *LOST):
            await self.aclose()
            raise

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        self.worker = self._chance.randrange(len(self._urls)) if self.only is None else self.only
        self._socket = await self._session.ws_connect(
            f"{self._urls[self.worker]}/ws/ask", max_msg_size=0, timeout=aiohttp.ClientWSTimeout(ws_close=1.0)
        )
        return self._socket


class _Noting(Progress):
    """Notes for others what it takes."""

    def __init__(self, heard: Heard) -> None:
        super().__init__(heard)
        self._heard = heard

    def _read(self, frame: dict[str, Any]) -> None:
        super()._read(frame)
        if frame["type"] == "word":
            self._heard.words += 1
        elif frame.get("status") == "restarted":
            self._heard.words = 0
            self._heard.restarted_at.append(self._heard.arrivals[-1])
        self._heard.ended = self.ended
