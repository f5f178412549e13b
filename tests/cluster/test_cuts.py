"""Clients whose connection is cut in the middle of an answer."""

import asyncio

import pytest

from tests.cluster.crowd import Crowd, check, figures
from tests.cluster.hosts import Cluster
from tests.cluster.model import answer_to, question
from tests.cluster.progress import Answer
from tests.cluster.rejoining import RejoiningClient, RejoiningReader

pytestmark = pytest.mark.cluster
CUT_SECONDS = 4.0  # longer than clients wait for a sign of life


async def test_clients_whose_cable_is_pulled_come_back_and_get_every_frame_once(cluster: Cluster) -> None:
    async with Crowd(cluster, 20, 10, words=160, every_ms=50, host="roaming") as crowd:
        await crowd.have(10)
        cluster.network.unplug("roaming")
        await asyncio.sleep(CUT_SECONDS)
        cluster.network.plug("roaming")
        answers = await crowd.enough()
    print(f"\ncable pulled: {figures(answers)}")  # noqa: T201
    await check(cluster, answers)
    assert all(answer.rejoined for answer in answers)
    assert not any(answer.restarts for answer in answers), "no worker died"


@pytest.mark.parametrize("kind", [RejoiningClient, RejoiningReader])
async def test_a_run_is_read_at_either_host_while_it_is_written_at_one(
    cluster: Cluster, kind: type[RejoiningClient]
) -> None:
    """Asked at one host, every frame of it is told by both, live, from the place that a reader names."""
    asked, begun = question(60, 30), asyncio.Event()
    run = Answer("", "", "")

    def note(answer: Answer) -> None:
        run.run_id = answer.run_id
        if len(answer.arrivals) == 10:
            begun.set()

    async with cluster.session() as session:
        asking = asyncio.create_task(kind(session, [cluster.apps["app1"].url], on_frame=note).ask(asked, "asked-once"))
        await asyncio.wait({asking, asyncio.create_task(begun.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert run.run_id is not None
        readers = [
            kind(session, [app.url]).read(run.run_id, after) for app in cluster.apps.values() for after in (0, 7)
        ]
        answer, *told = await asyncio.gather(asking, *readers)
    assert answer.text == answer_to(asked)
    for place, one in zip([0, 7, 0, 7], told, strict=True):
        assert one.frames == answer.frames[place:]


async def test_a_question_sent_again_to_the_other_host_joins_its_run(cluster: Cluster) -> None:
    asked = question(40, 30)
    async with cluster.session() as session:
        first = RejoiningClient(session, [cluster.apps["app1"].url])
        second = RejoiningClient(session, [cluster.apps["app2"].url])
        second.session_id = first.session_id
        answers = await asyncio.gather(first.ask(asked, "the-same"), second.ask(asked, "the-same"))
    assert answers[0].run_id == answers[1].run_id
    assert answers[0].frames == answers[1].frames
    await check(cluster, answers[:1])
