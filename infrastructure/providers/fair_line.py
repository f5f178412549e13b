"""A limit on what is done at once, and the line before it, in which everybody has their turn."""

import asyncio
from collections import OrderedDict, deque

from infrastructure.errors import ProviderUnavailable

MOST_WAITING = 10_000


class FairLine:
    """At most `most` inside. Callers come in by turns, one question each; a caller's own come in as they were asked.

    So somebody with a thousand questions in line holds up somebody with one by one question, not by a thousand. A place
    that becomes free is handed to the next in line: nobody slips in between.
    """

    def __init__(self, most: int, most_waiting: int = MOST_WAITING) -> None:
        self._most = most
        self._most_waiting = most_waiting
        self._inside = 0
        self._waiting = 0
        self._lines: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()  # whose turn it is, first

    @property
    def inside(self) -> int:
        return self._inside

    @property
    def waiting(self) -> int:
        return self._waiting

    async def enter(self, caller: str) -> None:
        """Come in, waiting for a turn where the place is full. Whoever is cancelled leaves the line.

        Raises:
            ProviderUnavailable: the line is too long.
        """
        if self._inside < self._most:
            self._inside += 1
            return
        if self._waiting >= self._most_waiting:
            raise ProviderUnavailable("The model has too much to do.", retry_after=1.0)
        place = asyncio.get_running_loop().create_future()
        self._lines.setdefault(caller, deque()).append(place)
        self._waiting += 1
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # let in and cancelled in the same turn of the loop
            else:
                self._give_up(caller, place)
            raise

    def leave(self) -> None:
        """Go, and let the next one in."""
        while self._lines:
            caller, line = self._lines.popitem(last=False)
            place = line.popleft()
            if line:
                self._lines[caller] = line
            self._waiting -= 1
            if not place.done():  # else it was cancelled just now, and its task has not yet run
                place.set_result(None)
                return
        self._inside -= 1

    def _give_up(self, caller: str, place: asyncio.Future[None]) -> None:
        line = self._lines.get(caller)
        if line is None or place not in line:
            return
        line.remove(place)
        self._waiting -= 1
        if not line:
            del self._lines[caller]
