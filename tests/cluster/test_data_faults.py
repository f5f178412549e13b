"""What the hosts share goes away for a while."""

import asyncio
from signal import SIGINT, SIGKILL, Signals

import pytest

from tests.cluster.crowd import RETRYABLE, Crowd, check, figures
from tests.cluster.hosts import VALKEY, Cluster

pytestmark = pytest.mark.cluster
CUT_SECONDS = 3.0


async def test_a_host_that_loses_redis_goes_on_with_its_questions(cluster: Cluster) -> None:
    async with Crowd(cluster, 20, 10, words=160, every_ms=50) as crowd:
        await crowd.have(10)
        cluster.network.lose("app1", VALKEY)
        await asyncio.sleep(CUT_SECONDS)
        cluster.network.find("app1", VALKEY)
        answers = await crowd.enough()
    print(f"\nRedis lost by one host: {figures(answers)}")  # noqa: T201
    await check(cluster, answers)
    assert not any(answer.rejoined or answer.restarts for answer in answers), "nobody's own connection was touched"


async def test_questions_are_begun_on_a_host_that_has_lost_redis(cluster: Cluster) -> None:
    cluster.network.lose("app1", VALKEY)
    async with Crowd(cluster, 10, 5, words=20, every_ms=20, again=True) as crowd:
        await crowd.answered(60)
        cluster.network.find("app1", VALKEY)
        await crowd.answered(120)
        answers = await crowd.enough()
    print(f"\nasked without Redis on one host: {figures(answers)}")  # noqa: T201
    await check(cluster, answers)


@pytest.mark.parametrize(
    ("name", "number"), [("pgbouncer", SIGKILL), ("postgres", SIGINT), ("valkey", SIGKILL)],
    ids=["pgbouncer-killed", "postgres-restarted", "valkey-killed"],
)  # fmt: skip
async def test_nothing_is_lost_when_a_server_with_data_is_restarted(
    cluster: Cluster, name: str, number: Signals
) -> None:
    async with Crowd(cluster, 10, 5, words=20, every_ms=20, again=True) as crowd:
        for _ in range(3):
            await crowd.answered(len(crowd.answers) + 30)
            cluster.data.restart(getattr(cluster.data, name), number)
        await crowd.answered(len(crowd.answers) + 30)
        answers = await crowd.enough()
    print(f"\n{name} restarted three times: {figures(answers)}")  # noqa: T201
    await check(cluster, answers, allowed=RETRYABLE)
