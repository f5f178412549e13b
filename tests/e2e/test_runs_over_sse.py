"""A run read as server-sent events: the same frames as over the WebSocket, from any point, by any number of readers."""

import asyncio
import json
from uuid import uuid4

import httpx
import pytest

from tests.e2e.service import Service, answer_of
from tests.e2e.sse import Event, events, read_run
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS = {"SSE_COMMENT_SECONDS": 0.1}
TOKENS = [f"word{i} " for i in range(12)]
QUESTION = "What is a liquidation threshold?"


async def ask(client: httpx.AsyncClient, path: str = "/ask-stream", key: str | None = None) -> list[Event]:
    headers = {"Idempotency-Key": key} if key else {}
    async with client.stream("POST", path, json={"question": QUESTION}, headers=headers) as response:
        assert response.status_code == 200
        return [event async for event in events(response)]


def run_of(read: list[Event]) -> str:
    return str(read[0].frame["run_id"])


def text_of(read: list[Event]) -> str:
    return answer_of([event.frame for event in read])


async def test_a_stream_says_how_to_treat_it(shared: Service, scripted: ModelServer) -> None:
    session_id = str(uuid4())
    async with (
        shared.client() as client,
        client.stream("POST", "/v2/ask-stream", json={"question": QUESTION, "session_id": session_id}) as response,
    ):
        read = [event async for event in events(response)]
    headers = response.headers
    assert headers["content-type"].split(";")[0] == "text/event-stream"
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache", "no")
    assert headers["x-session-id"] == session_id == read[-1].frame["session_id"]
    assert headers["x-run-id"] == run_of(read)
    assert "content-length" not in headers


async def test_v2_ask_stream_makes_a_session_and_ask_stream_has_none(shared: Service, scripted: ModelServer) -> None:
    async with shared.client() as client:
        made = await client.post("/v2/ask-stream", json={"question": QUESTION})
        none = await client.post("/ask-stream", json={"question": QUESTION})
    assert made.headers["x-session-id"] in made.text
    assert "x-session-id" not in none.headers


async def test_events_are_numbered_and_end_with_the_terminal_frame(shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(TOKENS)
    async with shared.client() as client:
        read = await ask(client)
    run_id = run_of(read)
    assert [event.id for event in read] == [f"{run_id}:{seq}" for seq in range(1, len(read) + 1)]
    assert [event.frame["seq"] for event in read] == list(range(1, len(read) + 1))
    assert [event.frame["type"] for event in read].count("complete") == 1
    assert read[-1].frame["answer"] == text_of(read) == "".join(TOKENS)
    assert {event.frame["type"] for event in read} == {"status", "step", "metadata", "word", "complete"}


async def test_a_rejoin_at_every_point_gives_exactly_the_rest(shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(TOKENS)
    async with shared.client() as client:
        whole = await ask(client)
        run_id = run_of(whole)
        for after in range(len(whole) + 1):
            assert await read_run(client, run_id, after=after) == whole[after:]
            assert await read_run(client, run_id, **{"Last-Event-ID": f"{run_id}:{after}"}) == whole[after:]


async def test_the_frames_are_the_same_bytes_as_over_the_socket(shared: Service, scripted: ModelServer) -> None:
    scripted.tokens([*TOKENS, "line\u2028separator and \u0085 ", '"quotes"\n'])
    raw: list[bytes] = []
    async with shared.socket() as socket, shared.client() as client:
        await socket.hello()
        await socket.send(type="question", question=QUESTION)
        while b'"status":"ready"' not in (raw and raw[-1]):
            raw.append(await socket.connection.recv(decode=False))
        read = await read_run(client, json.loads(raw[0])["run_id"])
    assert [event.data for event in read] == raw[:-1]


@pytest.mark.parametrize(
    ("query", "header"),
    [("after=-1", ""), ("after=1.5", ""), ("after=x", ""), ("after=1" + "0" * 30, ""), ("", "other:1"), ("", "x"),
     ("", "1e3"), ("", "-1"), ("", "9" * 5000)],
)  # fmt: skip
async def test_a_point_that_is_none_is_refused(query: str, header: str, shared: Service, scripted: ModelServer) -> None:
    async with shared.client() as client:
        run_id = run_of(await ask(client))
        headers = {"Last-Event-ID": header} if header else {}
        response = await client.get(f"/runs/{run_id}/events?{query}", headers=headers)
    assert (response.status_code, response.json()["type"]) == (422, "validation_error")


async def test_an_unknown_run_is_not_found(shared: Service) -> None:
    async with shared.client() as client:
        for call in (client.get(f"/runs/{uuid4()}/events"), client.post(f"/runs/{uuid4()}/cancel")):
            response = await call
            assert (response.status_code, response.json()["type"]) == (404, "not_found")


async def test_silence_is_broken_by_a_comment(shared: Service, scripted: ModelServer) -> None:
    gate = scripted.gate()
    scripted.tokens(TOKENS, gate=gate)
    comments: list[bytes] = []
    async with (
        shared.client() as client,
        client.stream("POST", "/ask-stream", json={"question": QUESTION}) as response,
    ):
        async for event in events(response, comments):
            if event.frame["type"] == "metadata":
                asyncio.get_running_loop().call_later(0.35, gate.open)
    assert 2 <= len(comments) <= 4


async def test_two_readers_on_one_run_read_the_same(shared: Service, scripted: ModelServer) -> None:
    gate = scripted.gate()
    scripted.tokens(TOKENS, gate=gate)
    async with (
        shared.client() as client,
        client.stream("POST", "/ask-stream", json={"question": QUESTION}) as response,
    ):
        second = asyncio.create_task(read_run(client, response.headers["x-run-id"]))
        gate.open()
        first = [event async for event in events(response)]
        assert await second == first
    assert text_of(first) == "".join(TOKENS)


async def test_a_reader_that_leaves_does_not_stop_the_run(shared: Service, scripted: ModelServer) -> None:
    gate = scripted.gate()
    scripted.tokens(TOKENS, gate=gate)
    async with shared.client() as client:
        async with client.stream("POST", "/ask-stream", json={"question": QUESTION}) as response:
            run_id = response.headers["x-run-id"]
            await scripted.asked()
        gate.open()
        assert text_of(await read_run(client, run_id)) == "".join(TOKENS)


async def test_an_idempotency_key_joins_the_run_under_way_and_after(shared: Service, scripted: ModelServer) -> None:
    gate = scripted.gate()
    scripted.tokens(TOKENS, gate=gate)
    key = str(uuid4())
    async with shared.client() as client:
        asks = [asyncio.create_task(ask(client, key=key)) for _ in range(3)]
        await scripted.asked()
        gate.open()
        read = [*await asyncio.gather(*asks), await ask(client, key=key)]
        whole = await client.post("/ask", json={"question": QUESTION}, headers={"Idempotency-Key": key})
    assert read == [read[0]] * 4
    assert whole.json()["run_id"] == run_of(read[0])
    assert len(scripted.requests) == 1


async def test_an_idempotency_key_is_good_for_one_question(shared: Service, scripted: ModelServer) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    async with shared.client() as client:
        await client.post("/ask", json={"question": QUESTION}, headers=headers)
        other = await client.post("/ask", json={"question": "Another question?"}, headers=headers)
        bad = await client.post("/ask", json={"question": QUESTION}, headers={"Idempotency-Key": "x" * 129})
    assert (other.status_code, other.json()["type"]) == (409, "conflict")
    assert (bad.status_code, bad.json()["type"]) == (422, "validation_error")


async def test_a_cancel_is_answered_when_the_run_has_ended(shared: Service, scripted: ModelServer) -> None:
    scripted.hang(["Half ", "an "])
    async with (
        shared.client() as client,
        client.stream("POST", "/v2/ask-stream", json={"question": QUESTION}) as response,
    ):
        run_id, read = response.headers["x-run-id"], []
        async for event in events(response):
            read.append(event)
            if text_of(read) == "Half an " and event.frame["type"] == "word":
                answer = await client.post(f"/runs/{run_id}/cancel")
                assert (await asyncio.wait_for(scripted.closed(), 10)) is not None
                assert (answer.status_code, answer.json()) == (202, {"run_id": run_id, "status": "cancelled"})
                assert (await read_run(client, run_id))[-1].frame["status"] == "cancelled"
    assert read[-1].frame["status"] == "cancelled"
    assert scripted.open_streams == 0


async def test_a_cancel_that_comes_too_late_says_how_the_run_ended(shared: Service, scripted: ModelServer) -> None:
    async with shared.client() as client:
        run_id = run_of(await ask(client))
        answer = await client.post(f"/runs/{run_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "complete")
