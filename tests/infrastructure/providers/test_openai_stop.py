"""Stopped means stopped: the endpoint sees its connection closed before the caller sees its task cancelled."""

import asyncio
import os
import socket

import pytest

from infrastructure.errors import ProviderUnavailable
from infrastructure.providers.guarded import GuardedModel
from tests.infrastructure.providers.asking import Heard, question
from tests.infrastructure.providers.conftest import MakeProvider
from tests.model_server import ModelServer


def open_to(port: int) -> int:
    """How many sockets of this process are connected to that port of this machine."""
    count = 0
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            with socket.socket(fileno=os.dup(number)) as wire:
                count += wire.family == socket.AF_INET and wire.getpeername()[1] == port
        except OSError:
            continue
    return count


def port_of(server: ModelServer) -> int:
    return int(server.url.rsplit(":")[-1].split("/")[0])


async def stopped(answering: asyncio.Task[object], server: ModelServer) -> int:
    """Cancel the task; how many sockets were open to the server when it had ended."""
    open_then: list[int] = []
    answering.add_done_callback(lambda _: open_then.append(open_to(port_of(server))))
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    await asyncio.sleep(0)
    return open_then[0]


async def test_in_mid_answer(server: ModelServer, provider: GuardedModel) -> None:
    server.hang(["so far"])
    server.reply("the next one")
    heard = Heard()
    answering = asyncio.create_task(provider.stream(question(), heard))
    await heard.until(bool)
    assert open_to(port_of(server)) == 1
    assert await stopped(answering, server) == 0
    assert (await server.closed()).request is server.requests[0]
    assert (await provider.stream(question(), Heard())).text == "the next one"


async def test_before_the_answer_began(server: ModelServer, provider: GuardedModel) -> None:
    server.hang()
    answering = asyncio.create_task(provider.stream(question(), Heard()))
    await server.asked()
    assert await stopped(answering, server) == 0
    await server.closed()


async def test_while_the_question_is_still_being_sent(server: ModelServer, provider: GuardedModel) -> None:
    server.hang()
    answering = asyncio.create_task(provider.stream(question("x" * (64 << 20)), Heard()))
    await server.connection()
    assert await stopped(answering, server) == 0


async def test_while_waiting_to_try_again(server: ModelServer, make_provider: MakeProvider) -> None:
    provider = make_provider(sleep=asyncio.sleep)
    server.status(503, {"retry-after": "10"})
    answering = asyncio.create_task(provider.stream(question(), Heard()))
    await server.asked()
    await asyncio.sleep(0.01)
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert len(server.requests) == 1


async def test_when_time_is_up(server: ModelServer, make_provider: MakeProvider) -> None:
    server.hang(["so far"])
    with pytest.raises(ProviderUnavailable):
        await make_provider(times={"total": 0.05}).stream(question(), Heard())
    assert open_to(port_of(server)) == 0
    await server.closed()
