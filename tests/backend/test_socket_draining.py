"""What a WebSocket is told by a process that is about to end while others serve on."""

from collections.abc import Awaitable, Callable

import pytest

from infrastructure.errors import ShuttingDown
from infrastructure.event_log.memory import MemoryEventLog
from tests.backend.socket_rooms import QUESTION, Client, Service, asked

RESTARTING = 1012


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that another process writes."""
    runs: list[str] = []
    monkeypatch.setattr(MemoryEventLog, "followed", property(lambda log: runs))
    return runs


async def told(client: Client) -> list[str]:
    """What is left to be read before the end: words, statuses and errors, and the close code."""
    found = []
    while (message := await client.message())["type"] == "websocket.send":
        found.append(message["text"])
    return [*found, str(message["code"])]


async def ask(client: Client) -> None:
    client.say(type="question", question=QUESTION, request_id="r1")


async def attach(client: Client) -> None:
    client.say(type="attach", run_id="theirs", after=0)


@pytest.mark.parametrize("frame", [ask, attach])
async def test_what_comes_while_an_answer_is_read_is_neither_done_nor_refused(
    frame: Callable[[Client], Awaitable[None]], service: Service, elsewhere: list[str]
) -> None:
    async with service.signed_in() as client:
        run_id = await asked(client)
        service.log.open("theirs", "u-alice")
        elsewhere.append("theirs")
        service.websockets.drain()
        await frame(client)
        client.say(type="ping")
        assert (await client.next())["type"] == "pong"
        service.runner.say(run_id, "end", last=True)
        *frames, code = await told(client)
    assert code == str(RESTARTING)
    assert not [each for each in frames if '"error"' in each or "theirs" in each]
    assert len(frames) == 2  # the run's last one, and `ready`
    assert len(service.runner.asks) == 1


async def test_a_question_that_the_end_overtakes_is_sent_away_without_an_error(service: Service) -> None:
    service.runner.failure = ShuttingDown("The service is restarting.")
    async with service.signed_in() as client:
        await ask(client)
        assert await told(client) == [str(RESTARTING)]


async def test_readers_of_other_processes_runs_are_sent_away_at_once(service: Service, elsewhere: list[str]) -> None:
    service.log.open("theirs", "u-alice")
    elsewhere.append("theirs")
    async with service.signed_in() as client, service.signed_in() as busy:
        await attach(client)
        await attach(busy)
        service.runner.say("theirs", "word")
        assert (await client.next())["seq"] == (await busy.next())["seq"] == 1
        run_id = await asked(busy)
        service.websockets.drain()
        assert await told(client) == [str(RESTARTING)]
        service.runner.say("theirs", "more")
        service.runner.say(run_id, "end", last=True)
        *frames, code = await told(busy)
        assert code == str(RESTARTING)
        assert not [frame for frame in frames if "theirs" in frame]
