"""Readers that stop reading: let go in time, paid for by nobody else, and welcome back."""

import asyncio
import json
import re
from contextlib import AsyncExitStack, suppress

import psutil
import pytest

from tests.e2e.raw import RawSocket, connected, head, raw_socket
from tests.e2e.service import Service, answer_of, of_run
from tests.e2e.sse import read_run
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SEND_TIMEOUT = 1.0
ABORT_AFTER = 2.0  # how long a close frame may take
SLACK = 3.0
SETTINGS = {"WS_SEND_TIMEOUT_SECONDS": SEND_TIMEOUT}
QUESTION = "What is a liquidation threshold?"
TOKENS = [f"{i:05}{'x' * 1000} " for i in range(900)]
SLOW = 12
TINY = 4096  # bytes of receive buffer
MORE_MEMORY = 16 * 1024 * 1024  # what may stay: the log of the runs themselves, and the allocator's habits


async def dropped(service: Service) -> int:
    async with service.client() as client:
        found = re.search(r"^stream_dropped_subscribers_total (\S+)", (await client.get("/metrics")).text, re.M)
    assert found
    return int(float(found[1]))


async def until_dropped(service: Service, count: int) -> None:
    async with asyncio.timeout(SEND_TIMEOUT + ABORT_AFTER + SLACK):
        while await dropped(service) < count:
            pass


async def connections(service: Service) -> int:
    async with service.client() as client:
        return int((await client.get("/ws/stats")).json()["active_connections"])


async def long_run(service: Service, scripted: ModelServer) -> str:
    scripted.tokens(TOKENS)
    async with service.socket() as socket:
        await socket.hello()
        frames = await socket.ask(QUESTION)
    assert answer_of(frames) == "".join(TOKENS)
    return str(frames[0]["run_id"])


async def stalled(stack: AsyncExitStack, service: Service, run_id: str) -> RawSocket:
    """A client that asks for the whole run and then reads nothing more."""
    socket = await stack.enter_async_context(raw_socket(service.port, receive_bytes=TINY))
    await socket.until("status")
    socket.transport.pause_reading()
    socket.say(type="attach", run_id=run_id, after=0)
    return socket


async def test_a_reader_that_stops_is_let_go_and_nobody_pays(shared: Service, scripted: ModelServer) -> None:
    loop = asyncio.get_running_loop()
    run_id = await long_run(shared, scripted)
    before, memory = await dropped(shared), psutil.Process(shared.pid).memory_info().rss
    async with AsyncExitStack() as stack:
        for _ in range(SLOW):
            await stalled(stack, shared, run_id)
        slowest = 0.0
        scripted.clear()
        scripted.reply("Quick.")
        async with shared.socket() as quick:
            await quick.hello()
            for _ in range(5):
                began = loop.time()
                assert answer_of(await quick.ask(QUESTION)) == "Quick."
                slowest = max(slowest, loop.time() - began)
        await until_dropped(shared, before + SLOW)
        assert await connections(shared) == 0
        grown = psutil.Process(shared.pid).memory_info().rss - memory
    assert slowest < 1.0
    assert grown < MORE_MEMORY


async def test_a_reader_that_was_let_go_comes_back_for_the_rest(shared: Service, scripted: ModelServer) -> None:
    run_id = await long_run(shared, scripted)
    before = await dropped(shared)
    async with AsyncExitStack() as stack:
        socket = await stalled(stack, shared, run_id)
        await until_dropped(shared, before + 1)
        socket.transport.resume_reading()
        assert await socket.close_code() in (4408, None)  # None: what was sent did not fit, and the rest was cut off
    async with shared.socket() as again:
        await again.hello()
        await again.send(type="attach", run_id=run_id, after=0)
        run = of_run(await again.until(status="ready"))
    assert [frame["seq"] for frame in run] == list(range(1, len(run) + 1))
    assert answer_of(run) == run[-1]["answer"] == "".join(TOKENS)


async def test_a_reader_that_stops_in_a_live_answer_is_let_go(shared: Service, scripted: ModelServer) -> None:
    gate = scripted.gate()
    scripted.tokens(["Begins ", *TOKENS], gate=gate)
    before = await dropped(shared)
    async with raw_socket(shared.port, receive_bytes=TINY) as socket:
        socket.say(type="question", question=QUESTION)
        gate.release()
        run_id = (await socket.until("word"))["run_id"]
        socket.transport.pause_reading()
        gate.open()
        await until_dropped(shared, before + 1)
    async with shared.client() as client:
        run = await read_run(client, run_id)
    assert answer_of([event.frame for event in run]) == "Begins " + "".join(TOKENS)


async def test_one_long_frame_at_the_end_that_nobody_reads_is_noticed(shared: Service, scripted: ModelServer) -> None:
    gate = scripted.gate()
    scripted.tokens(["Begins ", "x" * 900_000], gate=gate)
    before = await dropped(shared)
    async with raw_socket(shared.port, receive_bytes=TINY) as socket:
        socket.say(type="question", question=QUESTION)
        gate.release()
        await socket.until("word")
        socket.transport.pause_reading()
        gate.open()
        await until_dropped(shared, before + 1)


async def test_a_slow_but_steady_reader_reads_it_all(shared: Service, scripted: ModelServer) -> None:
    run_id = await long_run(shared, scripted)
    async with raw_socket(shared.port, receive_bytes=TINY) as socket:
        socket.say(type="attach", run_id=run_id, after=0)
        answer = ""
        while (frame := json.loads((await asyncio.wait_for(socket.frame(), 20))[1]))["type"] != "complete":
            answer += frame.get("content", "")
            if frame.get("seq", 1) % 50 == 0:
                await asyncio.sleep(0.1)  # it is the slowness that is tested
    assert answer == frame["answer"] == "".join(TOKENS)


async def test_an_event_stream_that_nobody_reads_ends_too(shared: Service, scripted: ModelServer) -> None:
    run_id = await long_run(shared, scripted)
    before = await dropped(shared)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(shared.port, TINY)) for _ in range(3)]
        for _, writer in clients:
            writer.transport.pause_reading()
            writer.write(head("GET", f"/runs/{run_id}/events"))
        await until_dropped(shared, before + 3)
        for reader, writer in clients:  # their connections are cut: what was not sent by then is never sent
            writer.transport.resume_reading()
            assert len(await asyncio.wait_for(_rest(reader), SLACK)) < len("".join(TOKENS))
    async with shared.client() as client:
        assert answer_of([event.frame for event in await read_run(client, run_id)]) == "".join(TOKENS)


async def test_pings_of_a_peer_that_does_not_read_cost_no_memory(shared: Service, scripted: ModelServer) -> None:
    memory = psutil.Process(shared.pid).memory_info().rss
    async with raw_socket(shared.port, receive_bytes=TINY) as socket:
        await socket.until("status")
        socket.transport.pause_reading()
        burst = _pings(20_000)
        for _ in range(10):
            socket.transport.write(burst)
        with suppress(ConnectionResetError):  # it may be let go before it has sent all
            await asyncio.wait_for(socket.flush(), 20)
        assert psutil.Process(shared.pid).memory_info().rss - memory < MORE_MEMORY


async def _rest(reader: asyncio.StreamReader) -> bytes:
    read = b""
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            read += data
    return read


def _pings(count: int) -> bytes:
    return (b"\x89\xfd" + b"\0" * 4 + b"p" * 125) * count
