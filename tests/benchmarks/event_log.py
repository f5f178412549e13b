"""What the event log costs a process for an answer, in memory and over Redis.

    python -m tests.benchmarks.event_log

A process writes answers of 64 frames, and each has one reader who hears every frame as it is delivered: on the same
worker, or on another one in this process, which then pays for both. Runs are written as fast as they can be ("at
once"), or with 20 ms between two frames of one ("as models do"). What is counted is processor time of this process
(Valkey's is not in it), and how long a frame takes from its appending to its hearing. Medians of the rounds.
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
FRAME_BYTES = 180
PAUSE_SECONDS = 0.02
MEMORY, REDIS, TWO = "memory", "redis", "redis, read elsewhere"


class Round:
    """Some runs at once, written to one log and read from another."""

    def __init__(self, writing: Log, reading: Log, runs: int, pause: float) -> None:
        self._writing = writing
        self._reading = reading
        self._runs = runs
        self._pause = pause
        self.waits: list[float] = []  # seconds

    async def run(self) -> float:
        """Milliseconds of this process's processor time an answer."""
        began = time.process_time()
        async with asyncio.TaskGroup() as group:
            for number in range(self._runs):
                group.create_task(self._answer(self._pause * number / self._runs))
        return (time.process_time() - began) / self._runs * 1000

    async def _answer(self, first_pause: float) -> None:
        run_id = str(uuid4())
        appended = [0.0] * (FRAMES + 1)
        over = asyncio.get_running_loop().create_future()

        def hear(entry: Entry) -> None:
            self.waits.append(time.perf_counter() - appended[entry.seq])
            if entry.terminal:
                over.set_result(None)

        def append(seq: int) -> None:
            appended[seq] = time.perf_counter()
            self._writing.append(run_id, Entry(seq, b"x" * FRAME_BYTES, "word ", seq == FRAMES))

        await asyncio.sleep(first_pause)
        self._writing.open(run_id, None)
        append(1)
        await self._writing.settle(run_id)
        await self._reading.find(run_id)
        self._reading.tail(run_id, 1, hear)
        for seq in range(2, FRAMES + 1):
            await asyncio.sleep(self._pause)
            append(seq)
        await over


async def measure(kind: str, url: str, runs: int, pause: float, rounds: int) -> str:
    calls: list[int] = []
    async with AsyncExitStack() as stack:
        writing: Log = MemoryEventLog()
        if kind != MEMORY:
            prefix = f"{uuid4()}:"
            writing = (
                await stack.enter_async_context(worker(url, prefix, on_batch=lambda frames, _: calls.append(frames)))
            ).log
        reading = (await stack.enter_async_context(worker(url, prefix))).log if kind == TWO else writing
        await Round(writing, reading, runs, pause).run()
        calls.clear()
        took, waits = [], []
        for _ in range(rounds):
            one = Round(writing, reading, runs, pause)
            took.append(await one.run())
            waits += one.waits
    wait = statistics.median(waits) * 1000
    frames = statistics.fmean(calls) if calls else 0
    return f"{statistics.median(took):6.2f} ms an answer  {wait:6.2f} ms a frame  {frames:6.1f} frames a call"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args(arguments).rounds
    server = valkey_server()
    try:
        for name, pause in (("at once", 0.0), ("as models do", PAUSE_SECONDS)):
            for runs in (1, 16, 200):
                for kind in (MEMORY, REDIS, TWO):
                    said = uvloop.run(measure(kind, f"{server.connection_url}/0", runs, pause, rounds))
                    print(f"{name:13} {runs:3} runs  {kind:22} {said}")
    finally:
        server.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
