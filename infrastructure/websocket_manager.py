"""The WebSocket manager: which connections there are, how many an address may have, who is alive, who reads, and
whose credential has ended.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol
from uuid import uuid4

import structlog

from infrastructure.log_ids import bind_ids
from infrastructure.monitoring import Metrics

log = structlog.get_logger()
MISSED_BEATS = 3
PORTION_BYTES = 64 * 1024  # what one write holds at least, if there is so much: a reader may be slow, but must read
ABORT_AFTER_SECONDS = 2.0  # how long a close frame may take to leave before the connection is aborted

UNSUPPORTED, POLICY, INTERNAL, RESTARTING = 1003, 1008, 1011, 1012
UNAUTHORIZED, SLOW_READER = 4401, 4408
AT_MOST_SECONDS = 3600.0  # a timer's longest wait: clocks are set right now and then


class Peer(Protocol):
    """The far end, as the server's protocol lends it."""

    last_seen: float
    """When anything last came from the peer, in the event loop's time."""

    @property
    def writable(self) -> asyncio.Event:
        """Set while the transport's buffer is below its high-water mark."""

    def write(self, frames: Sequence[bytes]) -> None:
        """Send each of `frames` as a text message, in one write. Does nothing on a closed connection."""

    def ping(self) -> None:
        """Send a protocol-level ping."""

    def close(self, code: int, reason: str, abort_after: float) -> None:
        """Start the closing handshake without waiting; cut the connection if it is not done in `abort_after` s."""


class ConnectionClosed(Exception):
    """The connection is gone or being closed: nothing more can be sent."""


class Connection:
    """One accepted WebSocket. Sends are whole messages; `send` waits for a peer that reads, but not for ever."""

    def __init__(
        self, peer: Peer, address: str, heartbeat: bytes, interval: float, send_timeout: float,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.id = str(uuid4())
        self.address = address
        self.peer = peer
        self.closing = False
        self.busy = False  # a run is being followed
        self.on_drain: Callable[[], None] | None = None  # let go of what need not end here
        self.too_slow = False
        self.credential: str | None = None  # the name of what was shown to be let in
        self._ends_at: float | None = None  # when that is no longer good, by the clock
        self._end_timer: asyncio.TimerHandle | None = None
        self._clock = clock
        self._heartbeat = heartbeat
        self._interval = interval
        self._send_timeout = send_timeout
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(interval, self._beat)
        self._written_at = 0.0
        self._watch: asyncio.TimerHandle | None = None

    async def send(self, frames: Sequence[bytes]) -> None:
        """Send text messages in order, many of them in portions that the peer has to take one after the other.

        Raises:
            ConnectionClosed: it is closed, or the peer did not read for too long and is let go (4408).
        """
        for portion in portions(frames):
            if self.closing:
                raise ConnectionClosed
            while not self.peer.writable.is_set():  # another sender may have been quicker
                await self._until_writable()
            self._write(portion)

    def send_now(self, frames: Sequence[bytes]) -> bool:
        """Send text messages at once if the peer reads; False when it does not, or the connection is closed."""
        if self.closing or not self.peer.writable.is_set():
            return False
        self._write(frames)
        return True

    def _write(self, frames: Sequence[bytes]) -> None:
        self.peer.write(frames)
        self._written_at = self._loop.time()
        if self._watch is None:
            self._watch = self._loop.call_later(self._send_timeout, self._look)

    def admit(self, credential: str | None, until: float | None) -> None:
        """Let it stay for what was shown, or without, in place of what was before.

        Args:
            until: Unix seconds. When they are over the connection is closed with 4401; None: there is no end.
        """
        self.credential = credential
        self._ends_at = until
        self._watch_end()

    def _watch_end(self) -> None:
        if self._end_timer is not None:
            self._end_timer.cancel()
            self._end_timer = None
        if self._ends_at is None or self.closing:
            return
        left = self._ends_at - self._clock()
        if left > 0:
            self._end_timer = self._loop.call_later(min(left, AT_MOST_SECONDS), self._watch_end)
        else:
            self.close(UNAUTHORIZED, "authentication needed or expired")

    def close(self, code: int, reason: str = "") -> None:
        """Close it; from here on nothing more is sent."""
        if not self.closing:
            self._end()
            self.peer.close(code, reason, ABORT_AFTER_SECONDS)

    def gone(self) -> None:
        """The connection ended by itself."""
        self._end()

    def _end(self) -> None:
        self.closing = True
        self.on_drain = None  # whose it is has this connection, too: neither would leave memory
        self._timer.cancel()
        for timer in (self._watch, self._end_timer):
            if timer is not None:
                timer.cancel()

    async def _until_writable(self) -> None:
        try:
            async with asyncio.timeout(self._send_timeout):
                await self.peer.writable.wait()
        except TimeoutError:
            self._let_go()
        if self.closing:
            raise ConnectionClosed

    def _look(self) -> None:
        """See whether the peer takes what was written, also when there is nothing more to send."""
        self._watch = None
        if self.peer.writable.is_set():
            return
        left = self._written_at + self._send_timeout - self._loop.time()  # it was writable then
        if left <= 0:
            self._let_go()
        else:
            self._watch = self._loop.call_later(left, self._look)

    def _let_go(self) -> None:
        self.too_slow = self.too_slow or not self.closing
        self.close(SLOW_READER, "slow reader: attach again")

    def _beat(self) -> None:
        if self._loop.time() - self.peer.last_seen >= MISSED_BEATS * self._interval:
            log.info("peer shows no sign of life", connection_id=self.id)
            return self.close(POLICY, "no sign of life")
        self.send_now((self._heartbeat,))  # behind a peer that does not read it is dropped
        self.peer.ping()
        self._timer = self._loop.call_later(self._interval, self._beat)


class WebSocketManager:
    """The registry of connections."""

    def __init__(
        self, metrics: Metrics, *, max_per_address: int, heartbeat_seconds: float, send_timeout: float,
        heartbeat: bytes = b'{"type":"heartbeat"}',
    ) -> None:  # fmt: skip
        self._metrics = metrics
        self._max_per_address = max_per_address
        self._heartbeat_seconds = heartbeat_seconds
        self._send_timeout = send_timeout
        self._heartbeat = heartbeat
        self._connections: dict[str, Connection] = {}
        self._addresses: Counter[str] = Counter()
        self._accepted = 0
        self._refused = 0
        self._draining = False
        self._emptied = asyncio.Event()

    @property
    def draining(self) -> bool:
        return self._draining

    def open(self, peer: Peer, address: str) -> Connection | None:
        """Register an accepted connection; None when its address has too many."""
        if self._addresses[address] >= self._max_per_address:
            self._refused += 1
            return None
        connection = Connection(peer, address, self._heartbeat, self._heartbeat_seconds, self._send_timeout)
        bind_ids(connection_id=connection.id)
        self._connections[connection.id] = connection
        self._addresses[address] += 1
        self._accepted += 1
        self._metrics.ws_connections.inc()
        self._metrics.ws_active.set(len(self._connections))
        return connection

    def leave(self, connection: Connection) -> None:
        connection.gone()
        if self._connections.pop(connection.id, None) is None:
            return
        self._addresses[connection.address] -= 1
        if self._addresses[connection.address] <= 0:
            del self._addresses[connection.address]
        if connection.too_slow:
            self._metrics.dropped.inc()
        self._metrics.ws_active.set(len(self._connections))
        if self._draining and not self._connections:
            self._emptied.set()

    def credentials(self) -> set[str]:
        """The names of what was shown by those who are connected."""
        return {connection.credential for connection in self._connections.values() if connection.credential}

    def revoke(self, credential: str) -> None:
        """That credential has ended: whoever came in with it is let go with 4401, at once."""
        for connection in tuple(self._connections.values()):
            if connection.credential == credential:
                connection.close(UNAUTHORIZED, "authentication has ended")

    def drain(self) -> None:
        """The process is about to end: idle connections close with 1012 now, busy ones when their run has ended."""
        if self._draining:
            return
        self._draining = True
        for connection in tuple(self._connections.values()):
            if connection.on_drain is not None:
                connection.on_drain()
            if not connection.busy:
                connection.close(RESTARTING, "restarting: reconnect")

    async def emptied(self, seconds: float) -> None:
        """Wait until, after `drain`, the last connection has gone; at most `seconds`."""
        if self._connections:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._emptied.wait()

    def close_all(self) -> None:
        for connection in tuple(self._connections.values()):
            connection.close(RESTARTING, "restarting: reconnect")

    def stats(self) -> dict[str, int | float]:
        return {
            "active_connections": len(self._connections),
            "busy_connections": sum(connection.busy for connection in self._connections.values()),
            "addresses": len(self._addresses),
            "accepted_total": self._accepted,
            "refused_total": self._refused,
            "max_connections_per_address": self._max_per_address,
            "heartbeat_interval": self._heartbeat_seconds,
        }


def portions(frames: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """`frames` in order, in groups of at least `PORTION_BYTES` but for the last."""
    begin, size = 0, 0
    for index, frame in enumerate(frames):
        size += len(frame)
        if size >= PORTION_BYTES:
            yield frames[begin : index + 1]
            begin, size = index + 1, 0
    if begin < len(frames):
        yield frames[begin:] if begin else frames
