"""Hosts restarted one after the other, under load: what every new version does to users."""

import asyncio
from signal import SIGTERM

import pytest

from tests.cluster.crowd import Crowd, check, figures
from tests.cluster.hosts import Cluster

pytestmark = pytest.mark.cluster


async def test_no_question_fails_while_the_hosts_are_restarted_one_by_one(cluster: Cluster) -> None:
    async with Crowd(cluster, 20, 10, words=60, every_ms=30, again=True) as crowd:
        await crowd.answered(30)
        for app in cluster.apps.values():
            app.server.signal(SIGTERM)
            assert await asyncio.to_thread(app.server.wait) == 0
            app.start()
            await asyncio.to_thread(app.until_ready)
            await asyncio.to_thread(cluster.until_balanced, 2)
            await crowd.answered(len(crowd.answers) + 30)
        answers = await crowd.enough()
    print(f"\nrolling restart: {figures(answers)}")  # noqa: T201
    await check(cluster, answers)
    assert not any(answer.restarts for answer in answers), "a run has time to end before its process does"
