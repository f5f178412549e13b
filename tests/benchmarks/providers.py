"""How soon a stop reaches the model, and what it costs that another model stands in.

    python -m tests.benchmarks.providers

The real service, the scripted model server on loopback. A stop is measured from the moment in which the client sends it
(a `cancel` frame, or the end of its connection below /v1) until the model server sees its connection closed, by one
clock: all at once, and one behind the other while as many answers go on. The stand-in is measured by the time to the
first word of an answer, with the first provider's circuit open and with the second provider asked directly, in turns.
"""

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tests.e2e.conftest import scripted_model
from tests.e2e.service import Service, Socket, running
from tests.model_server import ModelServer
from tests.model_wire import STREAM_HEAD, Exchange

STREAMS = 200
PACE_SECONDS = 0.2  # between the words of an answer that goes on
APART_SECONDS = 0.005  # between stops that come one behind the other
QUESTIONS = 200
FAILURES = 5  # in a row open a circuit
STOP_MS, FALL_BACK_MS = 100.0, 50.0  # what they should stay below
NUMBER = re.compile(r"number (\d+)")
Stop = Callable[[], Awaitable[None]]
Start = Callable[[Service, int, AsyncExitStack], Awaitable[Stop]]


def percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    p50, p99, most = np.percentile(np.array(milliseconds), [50, 99, 100])
    return {"p50": float(p50), "p99": float(p99), "most": float(most)}


async def for_ever(exchange: Exchange) -> None:
    await exchange.write(STREAM_HEAD)
    while True:
        await exchange.event({"content": "word "})
        await asyncio.sleep(PACE_SECONDS)


async def over_websocket(service: Service, number: int, stack: AsyncExitStack) -> Stop:
    """An answer of the agent under way."""
    socket: Socket = await stack.enter_async_context(service.socket())
    await socket.hello()
    await socket.send(type="question", question=f"What is number {number}?")
    await socket.until(type="word")
    stack.push_async_callback(ended, asyncio.create_task(thrown_away(socket.connection)))

    async def stop() -> None:
        await socket.send(type="cancel")

    return stop


async def over_v1(service: Service, number: int, stack: AsyncExitStack) -> Stop:
    """A bare model's answer under way."""
    body = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": f"What is number {number}?"}]}
    data = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    stack.callback(writer.close)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n"
    writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + data)
    await reader.readuntil(b'"word "')
    stack.push_async_callback(ended, asyncio.create_task(reader.read()))

    async def stop() -> None:
        writer.close()

    return stop


async def thrown_away(pieces: AsyncIterable[Any]) -> None:
    async for _ in pieces:
        pass


async def ended(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def stops(
    service: Service, model: ModelServer, start: Start, streams: int, others: int, apart: float
) -> dict[str, float]:
    """Milliseconds from a stop to the upstream's end, of `streams` answers, while `others` go on."""
    model.clear()
    model.script(for_ever)
    async with AsyncExitStack() as stack:
        begun = [await start(service, number, stack) for number in range(streams + others)]
        sent: dict[int, float] = {}
        for number in range(streams):
            sent[number] = time.monotonic()
            await begun[number]()
            if apart:
                await asyncio.sleep(apart)
        took: list[float] = []
        async with asyncio.timeout(30):
            while len(took) < streams:
                closed = await model.closed()
                took.append((closed.at - sent[number_of(closed.request.body)]) * 1000)
        assert model.open_streams >= others, "the others go on"
    return percentiles(took)


def number_of(body: Any) -> int:
    found = NUMBER.search(body["messages"][-1]["content"])
    assert found
    return int(found[1])


async def measured_stops(streams: int) -> dict[str, dict[str, float]]:
    found = {}
    for name, start in (("agent, cancel frame", over_websocket), ("bare, connection closed", over_v1)):
        for case, others, apart in (("all at once", 0, 0.0), ("others go on", streams, APART_SECONDS)):
            async with service_and_model() as (service, model):
                found[f"{name}, {case}"] = await stops(service, model, start, streams, others, apart)
    return found


@asynccontextmanager
async def service_and_model(**settings: Any) -> AsyncIterator[tuple[Service, ModelServer]]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        model = await stack.enter_async_context(ModelServer())
        known = scripted_model(model) | {"WS_MAX_CONNECTIONS_PER_ADDRESS": 10_000, "SHUTDOWN_GRACE_SECONDS": 0}
        yield await stack.enter_async_context(running(folder, known | settings)), model


async def first_word(socket: Socket, number: int) -> float:
    """Milliseconds from a question to its first word."""
    began = time.perf_counter()
    await socket.send(type="question", question=f"What is number {number}?")
    await socket.until(type="word")
    took = (time.perf_counter() - began) * 1000
    await socket.until(status="ready")
    return took


async def measured_fall_back(questions: int) -> dict[str, dict[str, float]]:
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(ModelServer())
        model.tokens(["It ", "is ", "a ", "number."])
        ollama = {"OLLAMA_BASE_URL": model.url.removesuffix("/v1"), "OLLAMA_CHAT_MODEL": "scripted"}
        away = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": "none", "MODEL_FALLBACKS": "ollama"}
        careless = {"MODEL_PROVIDER": "openai", "PROVIDER_MAX_RETRIES": 0, "CIRCUIT_OPEN_SECONDS": 3600}
        sockets = {}
        for name, settings in (
            ("circuit open", ollama | away | careless),
            ("asked directly", ollama | {"MODEL_PROVIDER": "ollama"}),
        ):
            folder = Path(stack.enter_context(TemporaryDirectory()))
            service = await stack.enter_async_context(running(folder, settings))
            socket = sockets[name] = await stack.enter_async_context(service.socket())
            await socket.hello()
            for number in range(FAILURES):
                await first_word(socket, -number)
            if name == "circuit open":
                await require_open(service)
        took: dict[str, list[float]] = {name: [] for name in sockets}
        for number in range(questions):
            for name in list(sockets)[:: 1 if number % 2 == 0 else -1]:
                took[name].append(await first_word(sockets[name], number))
    return {name: percentiles(found) for name, found in took.items()}


async def require_open(service: Service) -> None:
    async with service.client() as client:
        lines = (await client.get("/metrics")).text.splitlines()
    assert 'provider_circuit_state{provider="openai"} 2.0' in lines


def report(stopped: dict[str, dict[str, float]], told: dict[str, dict[str, float]]) -> str:
    rows = [*stopped.items(), *((f"first word, {name}", found) for name, found in told.items())]
    lines = ["| what | p50 ms | p99 ms | most ms |", "|---|---|---|---|"]
    lines += [f"| {name} | {found['p50']:.1f} | {found['p99']:.1f} | {found['most']:.1f} |" for name, found in rows]
    slowest = max(found["p99"] for found in stopped.values())
    lines.append(f"\na stop, p99: {slowest:.1f} ms; at most {STOP_MS:.0f}: {verdict(slowest <= STOP_MS)}")
    more = {kind: told["circuit open"][kind] - told["asked directly"][kind] for kind in ("p50", "p99")}
    lines.append(
        f"the stand-in adds {more['p50']:.1f} ms (p50), {more['p99']:.1f} ms (p99); "
        f"at most {FALL_BACK_MS:.0f}: {verdict(max(more.values()) <= FALL_BACK_MS)}"
    )
    return "\n".join(lines)


def verdict(reached: bool) -> str:
    return "reached" if reached else "NOT reached"


async def main(given: argparse.Namespace) -> None:
    stopped, told = await measured_stops(given.streams), await measured_fall_back(given.questions)
    print(json.dumps({"stops": stopped, "first word": told}) if given.json else report(stopped, told))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    return parser.parse_args(sys.argv[1:])


if __name__ == "__main__":
    asyncio.run(main(arguments()))
