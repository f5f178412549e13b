"""How a worker takes connections from the socket that all workers of a service share.

Left to the event loop, whoever wakes first takes all of a burst: of 16 connections one worker of two got 15. With a
socket each (SO_REUSEPORT) chance decides, 10 to 13 of 16, and what waits at a dead worker's waits on. So the one that
has more connections than another leaves a new one to it for a moment, and takes it if nobody did.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from backend.worker_table import CLOSED, Stage, WorkerTable

log = structlog.get_logger()
BACKLOG = 2048
PAUSE_SECONDS = 0.01  # what the others have to take a connection; one whose loop goes round needs less
LONGEST_PAUSE_SECONDS = 0.1
MOST_AT_ONCE = 64
NO_ROOM_SECONDS = 1.0  # as asyncio waits when there are no descriptors left


class Seat:
    """A worker's row of the table."""

    def __init__(self, table: WorkerTable, row: int) -> None:
        self._table = table
        self._row = row
        self._connections = 0
        self._coming = 0  # accepted, and not yet among the connections
        self._open = False

    @property
    def alone(self) -> bool:
        """Nobody else takes connections."""
        return not self._table.loads(self._row)

    @property
    def lead(self) -> int:
        """So many connections more than another has; below 1 it has no more than any."""
        others = self._table.loads(self._row)
        return self._connections + self._coming - min(others) if others else 0

    @property
    def others(self) -> int:
        """The connections of all others; when it changes, one of them is at work."""
        return sum(self._table.loads(self._row))

    def open(self) -> None:
        """From here on it takes connections."""
        self._open = True
        self.beat()
        self._tell()

    def leave(self) -> None:
        """It takes no more."""
        self._open = False
        self._tell()
        self._table.set_stage(self._row, Stage.LEAVING)

    def ready(self) -> None:
        self._table.set_stage(self._row, Stage.READY)

    def beat(self) -> None:
        self._table.beat(self._row)

    def coming(self, more: int) -> None:
        self._coming += more
        self._tell()

    def connected(self, count: int) -> None:
        self._connections = count
        self._tell()

    def _tell(self) -> None:
        self._table.set_load(self._row, self._connections + self._coming if self._open else CLOSED)


class CountedConnections(set[Any]):
    """The connections of a server, whose number is told whenever it changes."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        super().__init__()
        self._tell = tell

    def add(self, connection: Any) -> None:
        super().add(connection)
        self._tell(len(self))

    def discard(self, connection: Any) -> None:
        super().discard(connection)
        self._tell(len(self))

    def remove(self, connection: Any) -> None:
        super().remove(connection)
        self._tell(len(self))


class Acceptor:
    """One listening socket in this worker's event loop. What waits there when it is closed is the other workers'."""

    def __init__(self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol], seat: Seat) -> None:
        self._listener = listener
        self._protocol = protocol
        self._seat = seat
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._most = 1
        self._others = 0
        self._handing: set[asyncio.Task[None]] = set()
        listener.setblocking(False)

    def open(self) -> None:
        self._loop.add_reader(self._listener, self._readable)

    def close(self) -> None:
        """Accept no more, as of now."""
        if self._listener.fileno() < 0:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    async def wait_closed(self) -> None:
        """Until all that was accepted is a connection."""
        while self._handing:
            await asyncio.wait(self._handing)

    def _readable(self) -> None:
        lead = self._seat.lead
        if lead > 0:
            self._pause(min(lead * PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))
        else:
            self._most = 1
            self._take()

    def _pause(self, seconds: float) -> None:
        self._others = self._seat.others
        self._loop.remove_reader(self._listener)
        self._timer = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        """Take one; twice as many each time that the others did nothing meanwhile."""
        self._timer = None
        self.open()
        if self._seat.others != self._others:
            self._most = 1
        for _ in range(self._most):
            if not self._take():
                break
        else:
            self._most = min(2 * self._most, MOST_AT_ONCE)

    def _take(self) -> bool:
        """Accept one; False where there is none, or no room for it."""
        try:
            taken, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            log.error("no connection can be accepted", error=error.strerror)
            if self._timer is None:
                self._pause(NO_ROOM_SECONDS)
            return False
        taken.setblocking(False)
        self._seat.coming(1)
        task = self._loop.create_task(self._hand_over(taken))
        self._handing.add(task)
        task.add_done_callback(self._handing.discard)
        return True

    async def _hand_over(self, taken: socket.socket) -> None:
        try:
            with suppress(OSError):  # its peer has gone
                await self._loop.connect_accepted_socket(self._protocol, taken)
        finally:
            self._seat.coming(-1)
