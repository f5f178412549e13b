"""A host that reaches its clients, and not all of what the hosts share."""

import asyncio

import pytest

from tests.cluster.crowd import RETRYABLE, Crowd, check, figures
from tests.cluster.hosts import PGBOUNCER, VALKEY, Cluster

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


async def test_clients_that_come_to_the_other_host_wait_for_what_redis_does_not_know(cluster: Cluster) -> None:
    """The runs begin on a host that has lost Redis, and their readers move: they are told to try again until it is
    there, or find their own host.
    """
    cluster.network.lose("app1", VALKEY)
    async with Crowd(cluster, 12, 6, words=250, every_ms=50, host="roaming") as crowd:
        await crowd.have(10)
        cluster.network.unplug("roaming")
        await asyncio.sleep(CUT_SECONDS + 1)
        cluster.network.plug("roaming")
        await asyncio.sleep(CUT_SECONDS)
        cluster.network.find("app1", VALKEY)
        answers = await crowd.enough()
    print(f"\nmoved while Redis was lost: {figures(answers)}")  # noqa: T201
    await check(cluster, answers)
    assert not any(answer.restarts for answer in answers), "no worker died"


async def test_the_runs_of_a_host_that_loses_the_database_are_taken_over_before_its_clients_eyes(
    cluster: Cluster,
) -> None:
    """It cannot say that it is alive; its clients stay, and read on what the other host writes."""
    async with Crowd(cluster, 20, 10, words=300, every_ms=50) as crowd:
        await crowd.have(10)
        there = cluster.balanced()["app1"]
        cluster.network.lose("app1", PGBOUNCER)
        await crowd.restarted(there)
        cluster.network.find("app1", PGBOUNCER)
        answers = await crowd.enough()
    print(f"\nthe database lost by one host: {figures(answers)}")  # noqa: T201
    await check(cluster, answers, allowed=RETRYABLE)
