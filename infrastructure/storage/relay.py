"""Parts handed from one task to another."""

import asyncio


class Abandoned(Exception):
    """The parts end here, and not because there are no more."""


class Relay:
    """Hands parts on, one at a time: `give` returns when the other task has taken the part.

    A library that takes an async iterator drives it from a task of its own. Through this, the iterator that the bytes
    come from stays in its caller's task, where cancellation and deadlines hold, and can be ended from there.
    """

    def __init__(self) -> None:
        self._part = b""
        self._given = asyncio.Event()
        self._taken = asyncio.Event()
        self._over = False
        self._error: Abandoned | None = None

    async def give(self, part: bytes) -> None:
        """Hand a part on. After `end` it is dropped."""
        if self._over:
            return
        self._part = part
        self._given.set()
        await self._taken.wait()
        if not self._over:
            self._taken.clear()

    def end(self, error: Abandoned | None = None) -> None:
        """No more parts: the taker's iteration ends, or raises `error`. Nobody waits from now on."""
        self._over = True
        self._error = error
        self._given.set()
        self._taken.set()

    def __aiter__(self) -> "Relay":
        return self

    async def __anext__(self) -> bytes:
        await self._given.wait()
        if self._over:
            raise self._error or StopAsyncIteration
        self._given.clear()
        self._taken.set()
        return self._part
