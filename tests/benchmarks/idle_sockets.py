"""One worker with thousands of idle sockets and hundreds of running streams, for minutes: does anything grow?

    python -m tests.benchmarks.idle_sockets --seconds 600

First `--fill` questions are answered without a pause: what the service remembers of runs and sessions is bounded, and
shall be full. Then memory, file descriptors and tasks are sampled every ten seconds. The slope is what lies between the
medians of the third and of the last quarter; flat is what grows by less than `FLAT` of itself in ten minutes.
The clients share a process with whoever samples, the model is a process of its own; every answer is checked.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import signal
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import psutil

from tests.e2e.service import Service, running
from tests.workers.crowd import Crowd
from tests.workers.fleet import SETTINGS
from tests.workers.oracle import Model, oracle

GAP_SECONDS = 0.25  # from token to token: a slow model, so that 500 streams leave one worker half of its core
SAMPLE_SECONDS = 10.0
FILLING = 32  # clients that ask without a pause
AT_ONCE = 100  # sockets that are being opened
FLAT = 0.03
KEPT_SECONDS = 20  # frames of ended runs, so that they are as many in the second half as at its end
FIGURES = ("memory MB", "descriptors", "tasks")


class Idle:
    """Sockets that say nothing but that they live."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._tasks: list[asyncio.Task[None]] = []
        self.heartbeats = 0
        self.lost = 0

    async def open(self, http: aiohttp.ClientSession, count: int) -> None:
        gate = asyncio.Semaphore(AT_ONCE)
        opened = 0

        async def one() -> None:
            nonlocal opened
            async with gate:
                socket = await http.ws_connect(f"{self._url}/ws/ask")
                opened += 1
            await self._live(socket)

        self._tasks = [asyncio.create_task(one()) for _ in range(count)]
        while opened < count:
            await asyncio.sleep(0.1)
            for task in self._tasks:
                if task.done():
                    task.result()

    async def _live(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT and '"heartbeat"' in message.data:
                self.heartbeats += 1
                await socket.send_str('{"type":"heartbeat_response"}')
        self.lost += 1

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def sample(service: Service, number: int) -> tuple[float, ...]:
    """The `FIGURES` now; the service counts its tasks when it is asked by a signal."""
    os.kill(service.pid, signal.SIGUSR2)
    tasks = await service.logged("tasks", number=number)
    process = psutil.Process(service.pid)
    return process.memory_info().rss / 2**20, float(process.num_fds()), float(tasks["count"])


def growth(samples: Sequence[tuple[float, ...]], every: float) -> list[tuple[float, float]]:
    """For each figure its median and what it grows by in ten minutes, of the second half."""
    half = list(zip(*samples[len(samples) // 2 :], strict=True))
    found = []
    for values in half:
        middle = len(values) // 2
        grown = statistics.median(values[middle:]) - statistics.median(values[: max(1, middle)])
        found.append((statistics.median(values), grown / max(1, middle) / every * 600.0))
    return found


async def measure(given: argparse.Namespace) -> bool:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # inherited by the service
    print(f"{given.sockets} idle sockets, {given.streams} streams, {given.seconds:.0f} s; descriptors {soft} -> {hard}")
    with TemporaryDirectory() as folder:
        async with oracle(GAP_SECONDS) as model, serving(Path(folder), model.settings) as service:
            before = await sample(service, 1)
            idle = Idle(service.url)
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
                began = time.perf_counter()
                await idle.open(http, given.sockets)
                opened = await sample(service, 2)
                each = (opened[0] - before[0]) * 1024 / max(1, given.sockets)
                print(f"opened in {time.perf_counter() - began:.1f} s: {each:.1f} KB each")
                await fill(service, model, given.fill)
                async with Crowd([service.url], given.streams, chance=random.Random(1)) as crowd:
                    await crowd.streaming()
                    cpu = psutil.Process(service.pid).cpu_times()
                    samples = await watch(service, crowd, idle, given.seconds)
                    used = psutil.Process(service.pid).cpu_times()
                    await crowd.stop(120.0)
                lost = idle.lost
                await idle.close()
    seconds = used.user + used.system - cpu.user - cpu.system
    print(f"{len(crowd.ended)} answers, all right; {idle.heartbeats} heartbeats answered; {lost} idle sockets lost")
    print(f"CPU of the service: {seconds / given.seconds:.2f} cores")
    return verdict(samples) and not lost


async def fill(service: Service, model: Model, answers: int) -> None:
    """Have so many questions answered as fast as they can be."""
    await model.pace(0.0)
    began = time.perf_counter()
    async with Crowd([service.url], FILLING) as crowd:
        await crowd.until(lambda: len(crowd.ended) >= answers, 1200.0)
        await crowd.stop()
    await model.pace(GAP_SECONDS)
    print(f"{len(crowd.ended)} answers before, {len(crowd.ended) / (time.perf_counter() - began):.0f}/s", flush=True)


async def watch(service: Service, crowd: Crowd, idle: Idle, seconds: float) -> list[tuple[float, ...]]:
    samples: list[tuple[float, ...]] = []
    began = time.perf_counter()
    print(f"| s | {' | '.join(FIGURES)} | answers |\n|---|---|---|---|---|")
    while (now := time.perf_counter() - began) <= seconds:
        samples.append(await sample(service, len(samples) + 3))
        row = " | ".join(f"{value:.1f}" for value in samples[-1])
        print(f"| {now:.0f} | {row} | {len(crowd.ended)} |", flush=True)
        await asyncio.sleep(max(0.0, SAMPLE_SECONDS * len(samples) - (time.perf_counter() - began)))
    return samples


def verdict(samples: Sequence[tuple[float, ...]]) -> bool:
    flat = True
    for name, (mean, slope) in zip(FIGURES, growth(samples, SAMPLE_SECONDS), strict=True):
        level = abs(slope) <= FLAT * mean
        flat = flat and level
        print(f"{name}: median {mean:.1f}, {slope:+.1f} in 10 min: {'flat' if level else 'NOT flat'}")
    return flat


def serving(folder: Path, settings: Mapping[str, Any]) -> AbstractAsyncContextManager[Service]:
    """The service, by a start that can count its tasks."""
    more = {**SETTINGS, **settings, "RUN_LOG_SECONDS": KEPT_SECONDS, "MAX_SESSIONS": 1000}
    return running(folder, more, ("tests.benchmarks.idle_sockets", "--serve"))


def serve() -> None:
    """`askgraph serve` that logs how many tasks there are when it gets SIGUSR2."""
    from backend.cli import main
    from backend.server import Server

    counted = 0
    run = Server.serve

    def tell() -> None:
        nonlocal counted
        counted += 1
        print(json.dumps({"event": "tasks", "number": counted, "count": len(asyncio.all_tasks())}), flush=True)

    async def serve_and_count(self: Server, *given: Any, **named: Any) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, tell)
        await run(self, *given, **named)

    Server.serve = serve_and_count  # type: ignore[method-assign, assignment]  # to look inside
    sys.argv = ["askgraph", "serve"]
    main()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--sockets", type=int, default=5000)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--fill", type=int, default=52_000, help="answers before: more than the requests remembered")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)  # how it starts the service
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    if given.serve:
        serve()
    else:
        sys.exit(0 if asyncio.run(measure(given)) else 1)
