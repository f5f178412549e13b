"""What the hosts share is restarted under them."""

from signal import SIGINT, SIGKILL, Signals

import pytest

from tests.cluster.crowd import RETRYABLE, Crowd, check, figures
from tests.cluster.hosts import Cluster

pytestmark = pytest.mark.cluster


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
