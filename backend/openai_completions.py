"""The bare completions under way, and their end with the process."""

import asyncio
from contextlib import suppress
from typing import Protocol

from agents.runner import RESTARTING
from infrastructure.errors import AskGraphError, ShuttingDown

READING_SECONDS = 5.0  # for whoever is told at the end that it is one


class Stoppable(Protocol):
    """An answer that can be ended from outside."""

    def stop(self, error: AskGraphError) -> None:
        """End it with `error` behind the words that came, where it has not ended by itself."""


class Completions:
    """Runs have their runner; bare answers have nobody else who waits for them at the end."""

    def __init__(self) -> None:
        self._under_way: set[Stoppable] = set()
        self._none_left = asyncio.Event()
        self._over = False

    def add(self, answer: Stoppable) -> None:
        self._under_way.add(answer)
        if self._over:
            answer.stop(ShuttingDown(RESTARTING))

    def remove(self, answer: Stoppable) -> None:
        self._under_way.discard(answer)
        if not self._under_way:
            self._none_left.set()

    async def drain(self, grace_seconds: float, reading_seconds: float = READING_SECONDS) -> None:
        """Give answers `grace_seconds` to end, then end them. Whoever reads one has `reading_seconds` to hear of it."""
        await self._left_within(grace_seconds)
        self._over = True
        for answer in tuple(self._under_way):
            answer.stop(ShuttingDown(RESTARTING))
        await self._left_within(reading_seconds)

    async def _left_within(self, seconds: float) -> None:
        if self._under_way:
            self._none_left.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._none_left.wait()
