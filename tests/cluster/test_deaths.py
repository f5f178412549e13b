"""Hosts that die, and hosts that only seem to."""

import sys
from collections.abc import Iterator

import pytest

from tests.cluster.crowd import Crowd, check, figures, waited
from tests.cluster.hosts import ROOT, Cluster
from tests.cluster.processes import Server, accepts

pytestmark = pytest.mark.cluster
TAKEN_OVER_SECONDS = 10.0
LOCAL = "127.0.0.1"


async def test_the_other_host_finishes_what_a_killed_one_was_writing(cluster: Cluster) -> None:
    async with Crowd(cluster, 40, 10, words=140, every_ms=50) as crowd:
        await crowd.have(10)
        cluster.apps["app1"].server.kill()
        answers = await crowd.enough()
    print(f"\nkill -9: {figures(answers)}")  # noqa: T201
    await check(cluster, answers)
    waits = waited(answers)
    assert waits, "nobody was on the host that was killed"
    assert max(waits) <= TAKEN_OVER_SECONDS
    assert all(answer.restarts <= 1 for answer in answers)


async def test_a_host_that_was_lost_and_comes_back_has_no_say_any_more(cluster: Cluster) -> None:
    """Its cable is pulled, so it never hears of its death; plugged in again it finds its runs ended by the other."""
    async with Crowd(cluster, 30, 10, words=140, every_ms=50) as crowd:
        await crowd.have(10)
        cluster.network.unplug("app1")
        answers = await crowd.enough()
    print(f"\nhost lost: {figures(answers)}")  # noqa: T201
    _back_again(cluster)
    await check(cluster, answers)
    assert waited(answers), "nobody was on the host that was lost"


@pytest.fixture
def own_model(cluster: Cluster) -> Iterator[None]:
    """The first host has a model of its own: cut off from all others it goes on writing."""
    log = cluster.folder / "own_model.log"
    command = [sys.executable, "-m", "tests.cluster.model", LOCAL, "8080"]
    model = Server(cluster.network, "app1", command, log, folder=cluster.folder, environment={"PYTHONPATH": str(ROOT)})
    model.start()
    model.until(lambda: accepts(cluster.network, "app1", LOCAL, 8080))
    app = cluster.apps["app1"]
    app.server.kill()
    app.start(OPENAI_BASE_URL=f"http://{LOCAL}:8080/v1")
    app.until_ready()
    cluster.until_balanced(2)
    yield
    model.kill()


@pytest.mark.usefixtures("own_model")
async def test_a_host_that_comes_back_while_its_runs_are_written_elsewhere_does_not_meddle(cluster: Cluster) -> None:
    """Both write the same runs at the same time, and reach the same database and log: one of them counts."""
    async with Crowd(cluster, 20, words=300, every_ms=50) as crowd:
        await crowd.have(10)
        there = cluster.balanced()
        cluster.network.unplug("app1")
        await crowd.restarted(there["app1"])
        cluster.network.plug("app1")
        answers = await crowd.enough()
    print(f"\nhost back too early: {figures(answers)}")  # noqa: T201
    _back_again(cluster)
    await check(cluster, answers)


def _back_again(cluster: Cluster) -> None:
    """The host is there again, and is done with whatever it was doing."""
    cluster.network.plug("app1")
    app = cluster.apps["app1"]
    app.until_ready()
    app.server.until(lambda: b'"active_runs":0' in app.get("/session/stats")[1])
