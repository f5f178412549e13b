"""Who is connected, who is alive, who reads."""

import asyncio
import time
from collections.abc import Callable, Sequence

import pytest

from infrastructure.monitoring import Metrics
from infrastructure.websocket_manager import (
    MISSED_BEATS,
    POLICY,
    PORTION_BYTES,
    RESTARTING,
    SLOW_READER,
    UNAUTHORIZED,
    Connection,
    ConnectionClosed,
    WebSocketManager,
    portions,
)

BEAT = 0.01


class FakePeer:
    """A far end that notes what it gets."""

    def __init__(self) -> None:
        self.last_seen = asyncio.get_running_loop().time()
        self.writable = asyncio.Event()
        self.writable.set()
        self.written: list[bytes] = []
        self.pings = 0
        self.closed: tuple[int, str] | None = None
        self.changed = asyncio.Event()

    def write(self, frames: Sequence[bytes]) -> None:
        self.written += frames
        self.changed.set()

    def ping(self) -> None:
        self.pings += 1
        self.changed.set()

    def close(self, code: int, reason: str, abort_after: float) -> None:
        self.closed = (code, reason)
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


def make(heartbeat: float = 30.0, timeout: float = 10.0, most: int = 2) -> WebSocketManager:
    return WebSocketManager(Metrics("1"), max_per_address=most, heartbeat_seconds=heartbeat, send_timeout=timeout)


def opened(manager: WebSocketManager, address: str = "a") -> tuple[Connection, FakePeer]:
    peer = FakePeer()
    connection = manager.open(peer, address)
    assert connection is not None
    return connection, peer


async def test_an_address_has_only_so_many_connections() -> None:
    manager = make()
    first, _ = opened(manager)
    opened(manager)
    assert manager.open(FakePeer(), "a") is None
    opened(manager, "b")
    manager.leave(first)
    opened(manager)
    stats = manager.stats()
    assert stats == {
        "active_connections": 3, "busy_connections": 0, "addresses": 2, "accepted_total": 4, "refused_total": 1,
        "max_connections_per_address": 2, "heartbeat_interval": 30.0,
    }  # fmt: skip
    manager.close_all()


async def test_who_leaves_twice_left_once_and_leaves_nothing_behind() -> None:
    manager = make()
    connection, _ = opened(manager)
    manager.leave(connection)
    manager.leave(connection)
    assert (manager.stats()["active_connections"], manager.stats()["addresses"]) == (0, 0)


async def test_messages_go_out_whole_and_in_order() -> None:
    connection, peer = opened(make())
    await connection.send([b"one", b"two"])
    connection.send_now((b"three",))
    assert peer.written == [b"one", b"two", b"three"]
    connection.gone()


async def test_a_sender_waits_for_a_peer_that_reads_again() -> None:
    connection, peer = opened(make())
    peer.writable.clear()
    sending = asyncio.create_task(connection.send([b"one"]))
    connection.send_now((b"dropped",))
    await asyncio.sleep(0)
    assert not sending.done()
    peer.writable.set()
    await sending
    assert peer.written == [b"one"]
    connection.gone()


async def test_a_peer_that_does_not_read_is_let_go_and_counted() -> None:
    manager = make(timeout=0.01)
    connection, peer = opened(manager)
    peer.writable.clear()
    with pytest.raises(ConnectionClosed):
        await connection.send([b"one"])
    assert peer.closed == (SLOW_READER, "slow reader: attach again")
    assert peer.written == []
    manager.leave(connection)
    assert manager._metrics.dropped._value.get() == 1


@pytest.mark.parametrize("now", [True, False])
async def test_a_peer_that_leaves_the_last_message_unread_is_let_go_too(now: bool) -> None:
    connection, peer = opened(make(timeout=0.02))
    if now:
        assert connection.send_now([b"last"])
    else:
        await connection.send([b"last"])
    peer.writable.clear()  # the message does not fit, and nothing more is sent
    await peer.until(lambda: peer.closed is not None)
    assert peer.closed == (SLOW_READER, "slow reader: attach again")
    assert connection.too_slow


async def test_a_peer_that_reads_slowly_but_reads_is_kept() -> None:
    connection, peer = opened(make(timeout=0.5))
    for _ in range(4):
        peer.writable.clear()
        asyncio.get_running_loop().call_later(0.02, peer.writable.set)
        await connection.send([b"x"])
    peer.writable.set()
    await asyncio.sleep(0.55)  # the look that finds it reading
    assert peer.closed is None
    connection.gone()


async def test_of_several_senders_only_one_writes_when_the_peer_reads_again() -> None:
    connection, peer = opened(make())
    peer.writable.clear()
    sending = [asyncio.create_task(connection.send([message])) for message in (b"one", b"two")]
    await asyncio.sleep(0)
    write = peer.write

    def fill(frames: Sequence[bytes]) -> None:
        write(frames)
        peer.writable.clear()

    peer.write = fill  # type: ignore[method-assign]  # the transport is full again at once
    peer.writable.set()
    await peer.until(lambda: bool(peer.written))
    await asyncio.sleep(0)
    assert peer.written == [b"one"]
    peer.writable.set()
    await asyncio.gather(*sending)
    assert peer.written == [b"one", b"two"]
    connection.gone()


@pytest.mark.parametrize(
    "sizes", [[], [0], [1, 2, 3], [PORTION_BYTES], [PORTION_BYTES - 1, 1, 5], [10**6, 1, 10**6], [40_000] * 7]
)
def test_portions_are_the_same_messages_in_order(sizes: list[int]) -> None:
    messages = [b"x" * size for size in sizes]
    groups = list(portions(messages))
    assert [message for group in groups for message in group] == messages
    assert all(sum(map(len, group[:-1])) < PORTION_BYTES for group in groups)
    assert all(sum(map(len, group)) >= PORTION_BYTES for group in groups[:-1])


async def test_on_a_connection_that_is_closing_nothing_is_sent() -> None:
    connection, peer = opened(make())
    connection.close(POLICY, "why")
    connection.close(RESTARTING, "too late")
    with pytest.raises(ConnectionClosed):
        await connection.send([b"one"])
    connection.send_now((b"two",))
    assert (peer.closed, peer.written) == ((POLICY, "why"), [])


async def test_a_connection_that_closes_while_a_sender_waits_tells_it_so() -> None:
    connection, peer = opened(make())
    peer.writable.clear()
    sending = asyncio.create_task(connection.send([b"one"]))
    await asyncio.sleep(0)
    connection.close(RESTARTING)
    peer.writable.set()
    with pytest.raises(ConnectionClosed):
        await sending
    assert not connection.too_slow


async def test_a_connection_beats() -> None:
    connection, peer = opened(make(heartbeat=BEAT))
    peer.last_seen += 60
    await peer.until(lambda: peer.pings >= 2)
    assert peer.written[:2] == [b'{"type":"heartbeat"}'] * 2
    connection.gone()
    beats = peer.pings
    await asyncio.sleep(3 * BEAT)
    assert peer.pings == beats


async def test_a_peer_without_a_sign_of_life_is_let_go_after_three_beats() -> None:
    manager = make(heartbeat=BEAT)
    started = asyncio.get_running_loop().time()
    _, peer = opened(manager)
    await peer.until(lambda: peer.closed is not None)
    assert peer.closed == (POLICY, "no sign of life")
    assert asyncio.get_running_loop().time() - started >= MISSED_BEATS * BEAT


async def test_draining_closes_idle_connections_and_leaves_busy_ones_their_time() -> None:
    manager = make()
    _, idle_peer = opened(manager)
    busy, busy_peer = opened(manager)
    busy.busy = True
    assert not manager.draining
    manager.drain()
    assert manager.draining
    assert idle_peer.closed == (RESTARTING, "restarting: reconnect")
    assert busy_peer.closed is None
    assert manager.stats()["busy_connections"] == 1
    manager.close_all()
    assert busy_peer.closed == (RESTARTING, "restarting: reconnect")


async def test_draining_asks_each_connection_once_to_let_go_of_what_it_can() -> None:
    manager = make()
    connection, peer = opened(manager)
    connection.busy = True
    asked: list[str] = []

    def let_go() -> None:
        asked.append(connection.id)
        connection.busy = False

    connection.on_drain = let_go
    manager.drain()
    manager.drain()
    assert asked == [connection.id]
    assert peer.closed == (RESTARTING, "restarting: reconnect")


async def test_a_credential_that_runs_out_closes_the_connection_with_4401() -> None:
    connection, peer = opened(make())
    connection.admit("login:1", time.time() + 0.02)
    assert connection.send_now((b"still",))
    await peer.until(lambda: peer.closed is not None)
    assert peer.closed == (UNAUTHORIZED, "authentication needed or expired")
    assert not connection.send_now((b"no more",))
    assert peer.written == [b"still"]


async def test_one_that_has_run_out_already_closes_it_at_once() -> None:
    connection, peer = opened(make())
    connection.admit("login:1", time.time() - 1)
    assert peer.closed is not None


@pytest.mark.parametrize("until", [None, 60.0])
async def test_a_new_credential_moves_the_end_on(until: float | None) -> None:
    connection, peer = opened(make())
    connection.admit("login:1", time.time() + 0.01)
    connection.admit("login:2", until and time.time() + until)
    other, other_peer = opened(make())
    other.admit("login:3", time.time() + 0.03)
    await other_peer.until(lambda: other_peer.closed is not None)
    assert peer.closed is None
    connection.gone()


async def test_the_clock_decides_and_not_the_timer() -> None:
    now = [1000.0]
    peer = FakePeer()
    connection = Connection(peer, "a", b"", 30.0, 10.0, clock=lambda: now[0])
    connection.admit("login:1", 1000.005)
    await asyncio.sleep(0.02)
    assert peer.closed is None  # the clock was set back, or stands
    now[0] = 1001.0
    await peer.until(lambda: peer.closed is not None)


async def test_a_revoked_credential_closes_every_connection_that_has_it_and_no_other() -> None:
    manager = make(most=9)
    one, two, other, nobody = (opened(manager) for _ in range(4))
    for connection, credential in ((one[0], "key:1"), (two[0], "key:1"), (other[0], "key:2")):
        connection.admit(credential, None)
    assert manager.credentials() == {"key:1", "key:2"}
    manager.revoke("key:1")
    assert [peer.closed for _, peer in (one, two)] == [(UNAUTHORIZED, "authentication has ended")] * 2
    assert (other[1].closed, nobody[1].closed) == (None, None)
    for connection in (one[0], two[0]):
        manager.leave(connection)
    assert manager.credentials() == {"key:2"}
    manager.close_all()
