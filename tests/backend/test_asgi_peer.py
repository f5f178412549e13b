"""A peer over plain ASGI messages: in order, bounded, and without a trace when it is over."""

import asyncio

import pytest
from starlette.types import Message

from backend.asgi_peer import MAX_QUEUED, AsgiPeer
from infrastructure.websocket_manager import Connection, ConnectionClosed


class Server:
    """Takes messages one by one as long as its gate is open."""

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.gone: Exception | None = None

    async def send(self, message: Message) -> None:
        await self.gate.wait()
        if self.gone:
            raise self.gone
        self.taken.append(message)

    async def settled(self) -> None:
        """Until nobody sends any more."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)


async def test_frames_go_out_in_order_and_the_close_behind_them() -> None:
    server = Server()
    peer = AsgiPeer(server.send)
    peer.write([b"one", "zwö".encode()])
    peer.write([b"three"])
    peer.close(1012, "restarting", 2.0)
    peer.write([b"late"])
    peer.close(1000, "again", 2.0)
    await server.settled()
    assert server.taken == [
        {"type": "websocket.send", "text": "one"},
        {"type": "websocket.send", "text": "zwö"},
        {"type": "websocket.send", "text": "three"},
        {"type": "websocket.close", "code": 1012, "reason": "restarting"},
    ]


async def test_a_quiet_peer_holds_no_task() -> None:
    server = Server()
    peer = AsgiPeer(server.send)
    peer.write([b"one"])
    await server.settled()
    peer.ping()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    peer.write([b"two"])
    await server.settled()
    assert [message["text"] for message in server.taken] == ["one", "two"]


async def test_a_server_that_is_far_behind_makes_senders_wait() -> None:
    server = Server()
    server.gate.clear()
    peer = AsgiPeer(server.send)
    connection = Connection(peer, "a", b"beat", 30, 30)
    await connection.send([b"x"] * (MAX_QUEUED + 1))
    assert not peer.writable.is_set()
    sending = asyncio.create_task(connection.send([b"last"]))
    await asyncio.sleep(0)
    assert not sending.done()
    server.gate.set()
    await sending
    await server.settled()
    assert len(server.taken) == MAX_QUEUED + 2
    connection.gone()


async def test_a_server_that_never_reads_lets_its_sender_go() -> None:
    server = Server()
    server.gate.clear()
    peer = AsgiPeer(server.send)
    connection = Connection(peer, "a", b"beat", 30, 0.01)
    await connection.send([b"x"] * MAX_QUEUED)
    with pytest.raises(ConnectionClosed):
        await connection.send([b"x"])
    assert connection.too_slow
    server.gate.set()
    await server.settled()


@pytest.mark.parametrize("error", [RuntimeError("closed"), OSError("reset"), ConnectionResetError()])
async def test_a_client_that_is_gone_is_written_to_no_more(error: Exception) -> None:
    server = Server()
    server.gone = error
    peer = AsgiPeer(server.send)
    peer.write([b"x"] * MAX_QUEUED)
    assert not peer.writable.is_set()
    await server.settled()
    assert peer.writable.is_set()
    peer.write([b"y"])
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_it_was_always_seen_just_now() -> None:
    peer = AsgiPeer(Server().send)
    assert peer.last_seen == pytest.approx(asyncio.get_running_loop().time(), abs=1)
    with pytest.raises(AttributeError):
        peer.last_seen = 0.0
