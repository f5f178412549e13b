"""What the event log costs a process for an answer, in memory and over Redis.

    python -m tests.benchmarks.event_log

A process writes answers of 64 frames, and each has one reader who hears every frame as it comes. Runs are written as
fast as they can be ("at once"), or with 20 ms between two frames of one ("as models do"). Over Redis there is a second
worker in a process of its own, which follows all runs; the first one's processor time is what is counted. Medians of
the rounds.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from uuid import uuid4

import uvloop

from infrastructure.event_log.entry import Entry
from infrastructure.event_log.memory import MemoryEventLog
from tests.infrastructure.event_log.workers import Log, worker
from tests.valkey import valkey_server

FRAMES = 64
PAUSE_SECONDS = 0.02
FRAME_BYTES = 180
KINDS = ("memory", "redis", "redis and a second worker")


async def write(log: Log, run_id: str, pause: float, first_pause: float) -> None:
    await asyncio.sleep(first_pause)
    for seq in range(1, FRAMES + 1):
        log.append(run_id, Entry(seq, b"x" * FRAME_BYTES, "word ", seq == FRAMES))
        await asyncio.sleep(pause)


async def answer(log: Log, pause: float, first_pause: float, waits: list[float]) -> None:
    """One run with its reader; `waits` gets the seconds that each frame took from its appending to its hearing."""
    run_id = str(uuid4())
    log.open(run_id, None)
    loop = asyncio.get_running_loop()
    over = loop.create_future()

    def hear(entry: Entry) -> None:
        if entry.terminal:
            over.set_result(None)

    log.tail(run_id, 0, hear)
    writing = asyncio.create_task(write(log, run_id, pause, first_pause))
    await over
    ended = loop.time()
    await writing
    waits.append(loop.time() - ended)


async def round_of(log: Log, runs: int, pause: float) -> float:
    """Milliseconds of this process's processor time an answer."""
    waits: list[float] = []
    began = time.process_time()
    async with asyncio.TaskGroup() as group:
        for number in range(runs):
            group.create_task(answer(log, pause, pause * number / runs, waits))
    return (time.process_time() - began) / runs * 1000


async def measure(kind: str, url: str, runs: int, pause: float, rounds: int) -> tuple[float, float]:
    """Milliseconds of processor time an answer, and frames a call."""
    calls: list[int] = []
    async with AsyncExitStack() as stack:
        log: Log = MemoryEventLog()
        if kind != "memory":
            options = {"on_batch": lambda frames, seconds: calls.append(frames)}
            log = (await stack.enter_async_context(worker(url, f"{uuid4()}:", **options))).log
        await round_of(log, runs, pause)
        calls.clear()
        took = [await round_of(log, runs, pause) for _ in range(rounds)]
    return statistics.median(took), statistics.fmean(calls) if calls else 0


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args(arguments).rounds
    server = valkey_server()
    try:
        for name, pause in (("at once", 0.0), ("as models do", PAUSE_SECONDS)):
            for runs in (1, 16, 200):
                for kind in KINDS[:2]:
                    took, frames = uvloop.run(measure(kind, f"{server.connection_url}/0", runs, pause, rounds))
                    print(f"{name:13} {runs:3} runs  {kind:26} {took:6.2f} ms an answer  {frames:6.1f} frames a call")
    finally:
        server.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
