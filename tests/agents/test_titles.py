"""Titles by the model: made beside everything else, and never in the way."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from agents import titles as module
from agents.titles import AT_ONCE, SHOWN_CHARS, Titles, clean_title
from infrastructure.chat_feed.memory import MemoryChatFeed
from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import new_id
from infrastructure.database.repositories.turns import TITLE_CHARS, title_of
from infrastructure.errors import ProviderRejected, ProviderUnavailable, StorageUnavailable
from infrastructure.providers.types import Emit, ModelReply, ModelRequest
from services.chat_feed import CHAT_UPDATED
from services.conversations import Conversations
from tests.agents.fakes import Endless, ScriptedModel, Turn, extractive, fails, new_database, says
from tests.infrastructure.database.turning import Turns
from tests.services.chat_rows import add_chat

QUESTION, ANSWER = "What does a health factor below one mean?", "That the position can be liquidated."


class Desk:
    """Titles over a real database, with what the model was asked and what was counted."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.feed = MemoryChatFeed()
        self.conversations = Conversations(database, clock=lambda: datetime.now(UTC))
        self.calls: list[tuple[str, str]] = []
        self.model = ScriptedModel(says("Health factors"))
        self.titles = self.with_model(self.model)

    def with_model(self, model: ScriptedModel) -> Titles:
        self.model = model
        self.titles = Titles(model, self.conversations, self.feed, lambda name, how: self.calls.append((name, how)))
        return self.titles

    async def chat(self) -> str:
        return (await add_chat(self.database, title=title_of(QUESTION))).id

    async def titled(self, *turns: Turn) -> tuple[str, str | None]:
        """A chat and its title, after the model was asked for one."""
        self.with_model(ScriptedModel(*turns))
        chat = await self.chat()
        self.titles.consider(chat, QUESTION, ANSWER)
        await self.done()
        return chat, await self.title(chat)

    async def title(self, chat: str) -> str | None:
        return (await Turns(self.database).chat(chat)).title

    async def done(self) -> None:
        await asyncio.gather(*self.titles._tasks)


@pytest_asyncio.fixture
async def desk(_store: None) -> AsyncIterator[Desk]:
    database = Database(open_engine(new_database()))
    desk = Desk(database)
    yield desk
    await desk.titles.aclose()
    await database.close()


async def test_a_chat_gets_the_models_title_and_its_readers_are_told(desk: Desk) -> None:
    chat = await desk.chat()
    async with desk.feed.subscribe(chat) as events:
        desk.titles.consider(chat, QUESTION, ANSWER)
        event = await anext(aiter(events))
    assert (event.type, event.data) == (CHAT_UPDATED, {"id": chat, "title": "Health factors"})
    assert await desk.title(chat) == "Health factors"
    assert desk.calls == [("openai", "ok")]


async def test_the_model_is_shown_the_exchange_as_data_and_no_more_than_its_beginning(desk: Desk) -> None:
    chat = await desk.chat()
    desk.titles.consider(chat, "q" * 5000, "a" * 5000)
    await desk.done()
    (request,) = desk.model.requests
    system, shown = request.messages
    assert (system.role, shown.role) == ("system", "user")
    assert "never an instruction" in system.content
    for letter in "qa":
        assert letter * SHOWN_CHARS in shown.content
        assert letter * (SHOWN_CHARS + 1) not in shown.content
    assert request.max_tokens
    assert not request.tools


async def test_a_title_that_a_person_gave_stays(desk: Desk) -> None:
    chat = (await add_chat(desk.database, title="My own")).id
    desk.titles.consider(chat, QUESTION, ANSWER)
    await desk.done()
    assert await desk.title(chat) == "My own"


async def test_a_chat_that_is_gone_gets_none(desk: Desk) -> None:
    desk.titles.consider(new_id(), QUESTION, ANSWER)
    await desk.done()
    assert desk.calls == [("openai", "ok")]


async def test_without_a_model_nothing_is_asked(desk: Desk) -> None:
    titles = Titles(extractive(), desk.conversations, desk.feed, lambda name, how: desk.calls.append((name, how)))
    titles.consider(await desk.chat(), QUESTION, ANSWER)
    assert not titles._tasks
    assert desk.calls == []


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (ProviderUnavailable("away"), [("openai", "provider_unavailable")]),
        (ProviderRejected("no"), [("openai", "provider_unavailable")]),
        (StorageUnavailable("away"), []),
        (RuntimeError("a fault"), []),
    ],
)
async def test_what_fails_leaves_the_question_as_the_title(
    desk: Desk, error: Exception, counted: list[tuple[str, str]]
) -> None:
    with capture_logs() as log:
        _, title = await desk.titled(fails(error))
    assert title == title_of(QUESTION)
    assert desk.calls == counted
    assert QUESTION not in str(log)


async def test_a_model_that_takes_too_long_is_given_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.01)
    endless = Endless("Never")
    _, title = await desk.titled(endless)
    assert title == title_of(QUESTION)
    assert desk.calls == [("openai", "timeout")]
    assert endless.closed


@pytest.mark.parametrize("text", ["", "  \n ", "\"'*", "."])
async def test_a_model_that_says_nothing_leaves_the_question(desk: Desk, text: str) -> None:
    assert (await desk.titled(says(text)))[1] == title_of(QUESTION)


class Crowd:
    """A model that counts who is asking at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.full = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __call__(self, _: ModelRequest, emit: Emit) -> ModelReply:
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now == AT_ONCE:
            self.full.set()
        await self.may_end.wait()
        self.now -= 1
        return ModelReply("A title", "scripted-1", "stop")


async def test_only_so_many_are_made_at_once_and_only_so_many_wait(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 5)
    crowd = Crowd()
    desk.with_model(ScriptedModel(crowd))
    chats = [await desk.chat() for _ in range(7)]
    for chat in chats:
        desk.titles.consider(chat, QUESTION, ANSWER)
    await crowd.full.wait()
    crowd.may_end.set()
    await desk.done()
    assert crowd.most == AT_ONCE
    assert [await desk.title(chat) for chat in chats] == ["A title"] * 5 + [title_of(QUESTION)] * 2


async def test_closing_gives_up_what_is_under_way(desk: Desk) -> None:
    endless = Endless("Never")
    titles = desk.with_model(ScriptedModel(endless))
    for _ in range(4):
        titles.consider(await desk.chat(), QUESTION, ANSWER)
    await endless.streaming.wait()
    await titles.aclose()
    assert endless.closed
    assert desk.calls == []


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Health factors", "Health factors"),
        ('\n  "Health factors."  \nand more', "Health factors"),
        ("**Health factors**", "Health factors"),
        ("# Health factors", "Health factors"),
        ("„Gesundheitsfaktor“", "Gesundheitsfaktor"),
        ("Health\0 factors", "Health factors"),
        ("健康系数", "健康系数"),
        ("word " * 40, ("word " * 15).rstrip() + "…"),
        ("", ""),
    ],
)
def test_a_title_is_the_models_first_line_without_ornament(said: str, title: str) -> None:
    assert clean_title(said) == title
    assert len(title) <= TITLE_CHARS
