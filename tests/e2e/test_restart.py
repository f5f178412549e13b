"""What a restart leaves: conversations go on, ended runs can be read, request ids are remembered, all on the same data.

Each of these services is a process of its own, started again over what the one before it left.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.databases import migrated_url
from tests.e2e.conftest import scripted_model
from tests.e2e.crash_check import check_acknowledged, check_database, opened
from tests.e2e.crash_load import Ledger, Load
from tests.e2e.service import Service, Socket, of_run, running
from tests.model_server import ModelServer

CHATS = "/api/v1/chats"
ON_SQLITE = pytest.mark.parametrize("house", ["sqlite"], indirect=True)


@dataclass(frozen=True)
class House:
    """Where a service lives, again and again."""

    kind: str
    folder: Path
    url: str
    settings: dict[str, Any]

    def service(self, **settings: Any) -> AbstractAsyncContextManager[Service]:
        return running(self.folder, self.settings | settings)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    url = f"sqlite:///{tmp_path}/data/askgraph.db"
    if request.param == "sqlite":  # as it comes
        return House("sqlite", tmp_path, url, {})
    url = migrated_url(request.param, request, tmp_path)
    return House(request.param, tmp_path, url, {"DATABASE_URL": url})


@pytest_asyncio.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


async def asked(socket: Socket, question: str, **fields: Any) -> list[dict[str, Any]]:
    """The frames of a run."""
    return of_run(await socket.ask(question, **fields))


async def attached(service: Service, run_id: str, after: int = 0) -> list[dict[str, Any]]:
    """What somebody who comes to a run late is told, without `ready`."""
    async with service.socket() as socket:
        await socket.hello()
        await socket.send(type="attach", run_id=run_id, after=after)
        return (await socket.until(status="ready"))[:-1]


async def messages(service: Service, chat: str) -> list[dict[str, Any]]:
    async with service.client() as client:
        response = await client.get(f"{CHATS}/{chat}/messages")
        items: list[dict[str, Any]] = response.json()["items"]
        return items


def shown(model: ModelServer) -> list[tuple[str, str]]:
    """Who said what in the newest request that the model got, without the system's part."""
    return [(m["role"], m["content"]) for m in model.requests[-1].body["messages"] if m["role"] != "system"]


async def test_a_conversation_goes_on_after_a_restart(house: House, model: ModelServer) -> None:
    model.tokens(["Good ", "day, ", "Ada."])
    async with house.service(**scripted_model(model)) as service, service.socket() as socket:
        session = (await socket.hello())["session_id"]
        first = await asked(socket, "My name is Ada.", request_id="r1")
        async with service.client() as client:
            answer = await client.post("/v2/ask", json={"question": "And hers is Grace.", "session_id": session})
            assert answer.status_code == 200
        before = await messages(service, session)
    run_id, questions = first[0]["run_id"], len(model.requests)
    assert [message["status"] for message in before] == ["complete"] * 4
    async with house.service(**scripted_model(model)) as service:
        assert await messages(service, session) == before
        gap, snapshot, end = await attached(service, run_id)
        assert (gap["type"], gap["from"], gap["to"]) == ("gap", 1, first[-1]["seq"] - 1)
        assert (snapshot["type"], snapshot["answer"], snapshot["seq"]) == ("snapshot", "Good day, Ada.", gap["to"])
        assert end | {"timestamp": 0} == first[-1] | {"timestamp": 0}
        assert await attached(service, run_id, after=gap["to"]) == [end]
        assert await attached(service, run_id, after=end["seq"]) == []
        async with service.socket() as socket:
            await socket.hello()
            again = await socket.ask("My name is Ada.", session_id=session, request_id="r1")
            assert of_run(again) == [end]
            assert len(model.requests) == questions, "nothing was asked anew"
            await socket.send(type="question", question="Who am I?", session_id=session, request_id="r1")
            assert (await socket.until(type="error"))[-1]["code"] == "conflict"
            await asked(socket, "What is her name?", session_id=session)
        assert len(await messages(service, session)) == 6
    texts = [text for _, text in shown(model)]
    assert [role for role, _ in shown(model)] == ["user", "assistant"] * 2 + ["user"]
    assert texts[:4] == ["My name is Ada.", "Good day, Ada.", "And hers is Grace.", "Good day, Ada."]
    assert "What is her name?" in texts[4]


@pytest.mark.slow
async def test_a_request_id_over_http_is_remembered_after_a_restart(house: House, model: ModelServer) -> None:
    model.reply("Because.")
    body, headers = {"content": "Why?"}, {"Idempotency-Key": "k1"}
    async with house.service(**scripted_model(model)) as service, service.client() as client:
        chat = (await client.post(CHATS, json={"title": "Reasons"})).json()["id"]
        url = f"{CHATS}/{chat}/messages"
        first = await client.post(url, json=body, headers=headers)
        assert first.status_code == 201
    async with house.service(**scripted_model(model)) as service, service.client() as client:
        assert (await client.post(url, json=body, headers=headers)).json() == first.json()
        other = await client.post(url, json={"content": "Why not?"}, headers=headers)
        assert (other.status_code, other.json()["type"]) == (409, "conflict")
        new = await client.post(url, json=body, headers={"Idempotency-Key": "k2"})
        assert new.json()["user_message"]["parent_id"] == first.json()["assistant_message"]["id"]
        assert len(await messages(service, chat)) == 4
    assert len(model.requests) == 2


@pytest.mark.slow
@ON_SQLITE
async def test_how_runs_ended_is_known_after_a_restart(house: House, model: ModelServer) -> None:
    gate = model.gate()
    model.tokens(["Well, ", "it ", "is ", "so."], gate=gate)
    model.cut(["Halfway ", "there "])
    model.status(401)
    settings = scripted_model(model) | {"MODEL_FALLBACKS": "none", "PROVIDER_MAX_RETRIES": 0}
    async with house.service(**settings) as service, service.socket() as socket:
        session = (await socket.hello())["session_id"]
        await socket.send(type="question", question="Why is it so?")
        gate.release(2)
        await socket.until(type="word")
        await socket.send(type="cancel")
        stopped = (await socket.until(status="ready"))[-2]
        broken = (await asked(socket, "And then?"))[-1]
        refused = (await asked(socket, "And now?"))[-1]
        before = await messages(service, session)
    assert [message["status"] for message in before[1::2]] == ["incomplete", "error", "error"]
    async with house.service(**settings) as service:
        assert await messages(service, session) == before
        for end, message in zip((stopped, broken, refused), before[1::2], strict=True):
            _, snapshot, last = await attached(service, end["run_id"])
            assert snapshot["answer"] == message["content"]
            same = [name for name in ("type", "status", "code", "message", "seq", "answer") if name in end]
            assert {name: last[name] for name in same} == {name: end[name] for name in same}


async def under_way(socket: Socket, **fields: Any) -> list[dict[str, Any]]:
    """A question's frames up to its first words; its model has more to say, and may not."""
    await socket.send(type="question", question="Why is it so?", **fields)
    return of_run(await socket.until(type="word"))


async def killed_midway(house: House, model: ModelServer, settings: dict[str, Any]) -> tuple[str, str, int]:
    """Ask, and kill the service over the answer: the run's id, its session's, and the last `seq` that was seen."""
    gate = model.gate()
    model.tokens(["Well, ", "it ", "is ", "so."], gate=gate)
    async with house.service(**settings) as service, service.socket() as socket:
        session = (await socket.hello())["session_id"]
        gate.release(2)
        had = await under_way(socket, request_id="r1")
        service.process.kill()
        await service.process.wait()
    model.clear()
    return had[0]["run_id"], session, had[-1]["seq"]


@ON_SQLITE
async def test_a_run_that_is_killed_is_begun_anew_once(house: House, model: ModelServer) -> None:
    run_id, session, last_seen = await killed_midway(house, model, scripted_model(model))
    model.tokens(["Because ", "it ", "is."])
    async with house.service(**scripted_model(model)) as service:
        gap, snapshot, restarted, *_, end = await attached(service, run_id, last_seen)
        assert (gap["from"], snapshot["answer"]) == (last_seen + 1, "")
        assert (restarted["status"], restarted["seq"]) == ("restarted", gap["to"] + 1)
        assert (end["type"], end["answer"]) == ("complete", "Because it is.")
        async with service.socket() as socket:
            await socket.hello()
            again = await socket.ask("Why is it so?", session_id=session, request_id="r1")
            assert of_run(again)[-1] == end
        assert [(m["content"], m["status"]) for m in await messages(service, session)] == [
            ("Why is it so?", "complete"), ("Because it is.", "complete"),
        ]  # fmt: skip
    assert len(model.requests) == 2
    async with opened(house.url) as database:
        await check_database(database, all_ended=True)


@ON_SQLITE
async def test_a_run_that_may_not_be_begun_anew_is_there_as_a_question_and_an_error(
    house: House, model: ModelServer
) -> None:
    once = {**scripted_model(model), "RUN_ATTEMPTS": "1"}
    run_id, session, last_seen = await killed_midway(house, model, once)
    async with house.service(**once) as service:
        question, answer = await messages(service, session)
        assert (question["content"], question["status"]) == ("Why is it so?", "complete")
        assert (answer["role"], answer["content"], answer["status"]) == ("assistant", "", "error")
        for after in (0, last_seen):
            *_, end = await attached(service, run_id, after)
            assert (end["type"], end["code"], end["retryable"]) == ("error", "interrupted", True)
            assert end["seq"] > last_seen
        async with service.socket() as socket:
            await socket.hello()
            again = await socket.ask("Why is it so?", session_id=session, request_id="r1")
            assert [frame["code"] for frame in of_run(again)] == ["interrupted"]
            assert len(model.requests) == 1, "nothing was asked anew"
            assert (await asked(socket, "And now?", session_id=session))[-1]["type"] == "complete"
        statuses = [message["status"] for message in await messages(service, session)]
        assert statuses == ["complete", "error", "complete", "complete"]
        parents = [message["parent_id"] for message in await messages(service, session)]
        assert parents[1:] == [message["id"] for message in await messages(service, session)][:-1]
        async with opened(house.url) as database:
            await check_database(database, all_ended=True)


@pytest.mark.slow
async def test_a_question_is_there_when_the_process_died_over_its_answer(house: House, model: ModelServer) -> None:
    model.hang(["Well, it "])
    async with house.service(**scripted_model(model)) as service, service.socket() as socket:
        session = (await socket.hello())["session_id"]
        await under_way(socket)
        service.process.kill()
        await service.process.wait()
    model.clear()
    async with house.service(**scripted_model(model)) as service, service.socket() as socket:
        assert (await messages(service, session))[0]["content"] == "Why is it so?"
        await socket.hello()
        await asked(socket, "And now?", session_id=session)
        assert [text for _, text in shown(model)][-1].find("And now?") >= 0
        contents = [message["content"] for message in await messages(service, session) if message["content"]]
        assert contents == ["Why is it so?", "And now?", "Hello from the model."]


async def test_a_run_that_a_restart_cuts_short_keeps_its_text(house: House, model: ModelServer) -> None:
    model.hang(["Well, ", "it "])
    async with house.service(SHUTDOWN_GRACE_SECONDS=0, **scripted_model(model)) as service:
        async with service.socket() as socket:
            session = (await socket.hello())["session_id"]
            await under_way(socket)
            service.terminate()
            end = (await socket.until(type="error"))[-1]
        assert await service.stop() == 0
    model.clear()
    async with house.service(**scripted_model(model)) as service:
        _, answer = await messages(service, session)
        assert (answer["content"], answer["status"]) == (end["answer"], "error")
        *_, last = await attached(service, end["run_id"])
        assert (last["code"], last["answer"], last["seq"]) == ("shutting_down", end["answer"], end["seq"])


@pytest.mark.slow
async def test_a_clean_end_under_load_leaves_nothing_unfinished(house: House) -> None:
    for _ in range(3):
        ledger = Ledger()
        async with house.service() as service, Load(service, ledger) as load:
            await load.begin(posting=12, talking=6)
            await asyncio.wait_for(load.answers(30), 30)
            assert await service.stop() == 0
            await load.ended()
        async with opened(house.url) as database:
            await check_database(database, all_ended=True)
            await check_acknowledged(database, ledger.asked)
