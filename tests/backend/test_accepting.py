"""Connections on a socket that several workers accept from. Here the workers are acceptors in one loop."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from backend import accepting
from backend.accepting import Acceptor, CountedConnections, Seat
from backend.serving import listen
from backend.worker_table import WorkerTable


class House:
    """Two workers' places on one socket."""

    def __init__(self) -> None:
        (self.listener,) = listen("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.table = WorkerTable()
        self.seats: list[Seat] = []
        self.acceptors: list[Acceptor] = []
        self.connections: list[CountedConnections] = []
        self.writers: list[asyncio.StreamWriter] = []
        for worker in range(2):
            seat = Seat(self.table, self.table.claim())
            self.seats.append(seat)
            self.connections.append(CountedConnections(seat.connected))
            self.acceptors.append(Acceptor(self.listener.dup(), lambda who=worker: _Greeter(self, who), seat))

    def open(self, *workers: int) -> None:
        for worker in workers:
            self.acceptors[worker].open()
            self.seats[worker].open()

    async def greeted(self, count: int = 1) -> list[int]:
        """Who takes so many connections that come at once and stay."""

        async def one() -> int:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            self.writers.append(writer)
            return int(await asyncio.wait_for(reader.readline(), 10))

        return await asyncio.gather(*(one() for _ in range(count)))

    def close(self) -> None:
        for acceptor in self.acceptors:
            acceptor.close()
        self.listener.close()


class _Greeter(asyncio.Protocol):
    def __init__(self, house: House, who: int) -> None:
        self._house = house
        self._who = who
        self._connections = house.connections[who]

    def connection_made(self, transport: Any) -> None:
        self._connections.add(self)
        transport.write(b"%d\n" % self._who)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    yield house
    for writer in house.writers:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    house.close()


async def test_a_burst_is_shared(house: House) -> None:
    house.open(0, 1)
    who = await house.greeted(20)
    assert who.count(0) == 10


async def test_who_has_fewer_takes_the_next_ones(house: House) -> None:
    house.open(0)
    assert await house.greeted(6) == [0] * 6
    house.open(1)
    assert await house.greeted(4) == [1] * 4


async def test_who_has_most_takes_what_nobody_else_takes(house: House) -> None:
    house.open(0)
    house.seats[1].open()  # and it hangs: nothing is accepted there
    assert await house.greeted(100) == [0] * 100


async def test_what_waits_at_one_that_closes_is_the_others(house: House) -> None:
    house.open(0)
    connecting = [socket.create_connection(("127.0.0.1", house.port)) for _ in range(3)]  # the kernel has them
    house.acceptors[0].close()
    house.acceptors[0].close()  # once more is nothing
    house.seats[0].leave()
    house.open(1)
    loop = asyncio.get_running_loop()
    for each in connecting:
        each.setblocking(False)
        assert await asyncio.wait_for(loop.sock_recv(each, 10), 10) == b"1\n"
        each.close()
    await house.acceptors[0].wait_closed()


async def test_one_that_ends_while_it_waits_accepts_no_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    pause = house.acceptors[0]._pause
    house.open(0)
    await house.greeted(1)
    house.seats[1].open()
    paused = asyncio.Event()
    monkeypatch.setattr(house.acceptors[0], "_pause", lambda seconds: (pause(10.0), paused.set()))
    waiting = asyncio.create_task(house.greeted(1))
    await asyncio.wait_for(paused.wait(), 10)
    house.acceptors[0].close()
    house.seats[0].leave()
    house.open(1)
    assert await waiting == [1]


class _Full:
    """A listener while there is no descriptor left, for as many times as are given."""

    def __init__(self, listener: socket.socket, times: int) -> None:
        self._listener = listener
        self._times = times

    def accept(self) -> Any:
        self._times -= 1
        if self._times >= 0:
            raise OSError(errno.EMFILE, "Too many open files")
        return self._listener.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)


async def test_without_descriptors_it_waits_and_goes_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "NO_ROOM_SECONDS", 0.02)
    house.acceptors[0]._listener = _Full(house.acceptors[0]._listener, 2)  # type: ignore[assignment]
    house.open(0)
    assert await house.greeted(2) == [0, 0]


def test_each_address_of_a_host_is_listened_on() -> None:
    def closing(*listeners: socket.socket) -> Iterator[tuple[str, int]]:
        for listener in listeners:
            yield listener.getsockname()[:2]
            listener.close()

    addresses = dict(closing(*listen("localhost", 0)))
    assert "127.0.0.1" in addresses
    assert dict(closing(*listen("", 0)))
    with pytest.raises(OSError, match="assign requested address"):
        listen("203.0.113.7", 0)
    with pytest.raises(OSError, match="not known"):
        listen("no.such.host.invalid", 0)
