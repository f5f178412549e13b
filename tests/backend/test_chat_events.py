"""A chat's events as a client reads them: their shape, the answer's text in its place, and every way they end."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import Response

from backend.chat_events import ChatEventStream
from infrastructure.chat_feed.memory import MemoryChatFeed, MemorySubscription
from infrastructure.error_handlers import install_error_handlers
from infrastructure.event_log.memory import MemoryEventLog
from tests.backend.runs import WrittenRun
from tests.backend.serving import serving
from tests.e2e.chat_sse import ChatEvents

CHAT = "chat-1"
WORDS = ["A ", "health ", "factor."]


class Room:
    """A chat with a feed, a log and at most one run, and clients that follow it."""

    def __init__(self) -> None:
        self.feed = MemoryChatFeed(max_behind=10)
        self.log = MemoryEventLog()
        self.active: tuple[str, str] | None = None
        self.options: dict[str, Any] = {}
        self.slow = 0

    def publish(self, event_type: str, **data: Any) -> None:
        self.feed.publish(CHAT, event_type, data)

    def begin(self, run_id: str = "run-1") -> WrittenRun:
        """Begin a run and tell of it."""
        run = WrittenRun(self.log, run_id)
        self.publish("agent.processing", run_id=run_id, message_id=f"answer of {run_id}")
        return run

    def stream(self) -> ChatEventStream:
        options = {"send_timeout": 10.0, "on_slow": self._note_slow} | self.options
        return ChatEventStream(self.feed, self.log, CHAT, self._active_run, self.log.find, **options)

    async def _active_run(self, chat_id: str) -> tuple[str, str] | None:
        return self.active

    def _note_slow(self) -> None:
        self.slow += 1

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        app = FastAPI()
        install_error_handlers(app, lambda kind: None)

        @app.get("/", response_class=Response)
        async def read() -> Any:
            return self.stream()

        async with serving(app) as client:
            yield client

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[ChatEvents]:
        async with self.client() as client, client.stream("GET", "/") as response:
            assert response.status_code == 200
            yield ChatEvents(response)


@pytest.fixture
def room() -> Room:
    return Room()


async def test_an_event_has_the_contracts_shape(room: Room) -> None:
    async with room.followed() as events:
        room.publish("chat.updated", id=CHAT, title="Lending")
        event = await events.next()
        assert events.names == ["chat.updated"]
    assert set(event) == {"event_type", "chat_id", "data", "timestamp"}
    assert (event["event_type"], event["chat_id"]) == ("chat.updated", CHAT)
    assert event["data"] == {"id": CHAT, "title": "Lending"}
    assert event["timestamp"].endswith("Z")
    assert abs(datetime.fromisoformat(event["timestamp"]).timestamp() - time.time()) < 10


async def test_the_head_comes_before_anything_happens(room: Room) -> None:
    async with room.client() as client, client.stream("GET", "/") as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (response.headers["cache-control"], response.headers["x-accel-buffering"]) == ("no-cache", "no")


async def test_an_answers_text_comes_between_its_beginning_and_its_end(room: Room) -> None:
    async with room.followed() as events:
        run = room.begin()
        run.say(*WORDS[:2])
        assert (await events.next())["event_type"] == "agent.processing"
        deltas = [await events.next()]
        run.say(WORDS[2])
        run.complete()
        room.publish("message.completed", run_id=run.id, message={"content": "".join(WORDS)})
        room.publish("chat.updated")
        deltas += await events.until("message.completed")
        assert (await events.next())["event_type"] == "chat.updated"
    completed = deltas.pop()
    assert {delta["event_type"] for delta in deltas} == {"message.delta"}
    assert {(delta["data"]["run_id"], delta["data"]["message_id"]) for delta in deltas} == {
        ("run-1", "answer of run-1")
    }
    assert "".join(delta["data"]["content"] for delta in deltas) == completed["data"]["message"]["content"]


async def test_the_end_waits_for_the_text_before_it(room: Room) -> None:
    """The end is told first, the text is written after: the reader gets them the right way round."""
    async with room.followed() as events:
        run = room.begin()
        room.publish("message.completed", run_id=run.id)
        assert (await events.next())["event_type"] == "agent.processing"
        run.say(*WORDS)
        run.complete()
        *deltas, _ = await events.until("message.completed")
    assert "".join(delta["data"]["content"] for delta in deltas) == "".join(WORDS)


async def test_who_joins_in_the_middle_gets_what_follows(room: Room) -> None:
    run = WrittenRun(room.log)
    room.active = (run.id, "answer")
    run.say(*WORDS[:2])
    async with room.followed() as events:
        assert (await events.next())["data"] == {"run_id": run.id, "message_id": "answer"}
        run.say(WORDS[2])
        delta = await events.next()
        assert delta["data"] == {"run_id": run.id, "message_id": "answer", "content": WORDS[2]}


async def test_a_beginning_is_told_once(room: Room) -> None:
    """Who joins between a run's being made and its being told of."""
    run = WrittenRun(room.log)
    room.active = (run.id, "answer of run-1")
    async with room.followed() as events:
        assert (await events.next())["event_type"] == "agent.processing"
        room.publish("agent.processing", run_id=run.id, message_id="answer of run-1")
        run.say("Text.")
        assert (await events.next())["event_type"] == "message.delta"


async def test_a_run_that_has_not_begun_is_told_of_when_it_does(room: Room) -> None:
    room.active = ("run-1", "answer of run-1")
    async with room.followed() as events:
        run = room.begin()
        run.say("Text.")
        assert [(await events.next())["event_type"] for _ in range(2)] == ["agent.processing", "message.delta"]


async def test_text_that_is_held_no_more_is_not_lost(room: Room) -> None:
    room.log = MemoryEventLog(max_run_bytes=4096)
    words = [f"word{i} " for i in range(200)]
    async with room.followed() as events:
        run = room.begin()
        run.say(*words)  # in one go: the reader has had no turn
        run.complete()
        room.publish("message.completed", run_id=run.id)
        _, *deltas, _ = await events.until("message.completed")
    assert "".join(delta["data"]["content"] for delta in deltas) == "".join(words)


async def test_a_run_that_the_log_has_forgotten_ends_without_text(room: Room) -> None:
    async with room.followed() as events:
        room.publish("agent.processing", run_id="gone", message_id="answer")
        room.publish("message.completed", run_id="gone")
        assert [event["event_type"] for event in await events.until("message.completed")] == [
            "agent.processing",
            "message.completed",
        ]


async def test_runs_one_after_the_other_keep_their_order(room: Room) -> None:
    async with room.followed() as events:
        for number in (1, 2, 3):
            run = room.begin(f"run-{number}")
            run.say(f"answer {number}")
            run.complete()
            room.publish("message.completed", run_id=run.id)
        read = [event for _ in range(3) for event in await events.until("message.completed")]
    assert [(event["event_type"], event["data"]["run_id"]) for event in read] == [
        (kind, f"run-{number}")
        for number in (1, 2, 3)
        for kind in ("agent.processing", "message.delta", "message.completed")
    ]


async def test_silence_is_filled_with_pings(room: Room) -> None:
    room.options["silence"] = 0.05
    async with room.followed() as events:
        pings = [await events.next(), await events.next()]
    assert [(ping["event_type"], ping["data"]) for ping in pings] == [("ping", {})] * 2
    assert events.names == ["ping", "ping"]


async def test_a_chat_that_is_deleted_ends_its_stream(room: Room) -> None:
    async with room.followed() as events:
        room.begin().say("Half ")
        room.publish("chat.deleted", id=CHAT)
        room.publish("chat.updated")
        assert [event["event_type"] for event in await events.rest()][-1] == "chat.deleted"
    assert not room.feed.listened(CHAT)


async def test_a_closed_feed_ends_its_streams_behind_what_was_said(room: Room) -> None:
    async with room.followed() as events:
        room.publish("chat.updated")
        room.feed.close()
        assert [event["event_type"] for event in await events.rest()] == ["chat.updated"]


async def test_a_stream_ends_when_the_sign_in_does(room: Room) -> None:
    room.options["seconds"] = 0.1
    async with room.followed() as events:
        room.begin().say("Half ")
        assert [event["event_type"] for event in await events.rest()] == ["agent.processing", "message.delta"]
    assert room.slow == 0


async def test_a_sign_in_that_is_over_ends_the_stream_at_once(room: Room) -> None:
    room.options["seconds"] = 0.0
    async with room.followed() as events:
        assert await events.rest() == []


async def test_who_falls_too_far_behind_is_let_go_and_counted(room: Room) -> None:
    async with room.followed() as events:
        for number in range(11):
            room.publish("chat.updated", number=number)
        assert await events.rest() == []
    assert room.slow == 1


async def test_one_listener_too_many_is_refused_with_a_status(room: Room) -> None:
    room.feed = MemoryChatFeed(max_per_chat=1)
    async with room.client() as client, client.stream("GET", "/"):
        refused = await client.get("/")
    assert (refused.status_code, refused.json()["type"]) == (429, "rate_limited")
    assert "retry-after" in refused.headers


async def test_a_client_that_leaves_is_forgotten(room: Room) -> None:
    left = asyncio.Event()

    class Watched(MemoryChatFeed):
        @asynccontextmanager
        async def subscribe(self, chat_id: str) -> AsyncIterator[MemorySubscription]:
            try:
                async with super().subscribe(chat_id) as subscription:
                    yield subscription
            finally:
                left.set()

    room.feed = Watched()
    async with room.client() as client:
        async with client.stream("GET", "/"):
            assert room.feed.listened(CHAT)
        await asyncio.wait_for(left.wait(), 30)
        assert not room.feed.listened(CHAT)


async def test_every_listener_gets_the_same(room: Room) -> None:
    async with room.client() as client, client.stream("GET", "/") as one, client.stream("GET", "/") as two:
        run = room.begin()
        run.say("Text.")
        run.complete()
        room.publish("message.completed", run_id=run.id)
        room.publish("chat.deleted")
        read = [await ChatEvents(response).rest() for response in (one, two)]
    for events in read:
        assert [event["event_type"] for event in events] == [
            "agent.processing",
            "message.delta",
            "message.completed",
            "chat.deleted",
        ]
    assert [json.dumps(event["data"]) for event in read[0]] == [json.dumps(event["data"]) for event in read[1]]
