"""Chats on both databases: whose they are, how they are listed, searched, changed and left."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, select, text

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import Chat, ChatMessage, Feedback, Run, new_id
from infrastructure.errors import NotFound, Unauthorized
from services.chats import Chats, Page
from tests.services.chat_rows import START, Time, TurnRow, add_chat, add_user

Published = list[tuple[str, str, dict[str, Any]]]


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def published() -> Published:
    return []


@pytest.fixture
def chats(database: Database, clock: Time, published: Published) -> Chats:
    return Chats(database, clock=clock, publish=lambda *what: published.append(what))


async def ids_of(chats: Chats, owner: str | None, query: str | None = None, **more: Any) -> list[str]:
    return [chat.id for chat in (await chats.page(owner, 1, 100, query, **more)).items]


async def test_a_new_chat_is_as_it_was_asked_for_and_empty(database: Database, chats: Chats) -> None:
    ada = await add_user(database)
    made = await chats.create(ada, "Lending", {"topic": ["defi", None, 1.5]})
    assert (made.title, made.metadata, made.user_id) == ("Lending", {"topic": ["defi", None, 1.5]}, ada)
    assert (made.message_count, made.is_archived, made.agent_id) == (0, False, None)
    assert made.created_at == made.updated_at == START
    assert await chats.get(made.id, ada) == made
    assert await chats.messages(made.id, ada) == []


async def test_a_chat_without_anything_has_no_title_and_empty_metadata(chats: Chats) -> None:
    made = await chats.create(None)
    assert (made.title, made.metadata, made.user_id) == (None, {}, None)


async def test_there_is_no_agent_yet_to_give_a_chat(chats: Chats) -> None:
    with pytest.raises(NotFound, match=r"^No such agent\.$"):
        await chats.create(None, agent_id=new_id())


async def test_an_account_that_is_gone_begins_no_chat(chats: Chats) -> None:
    with pytest.raises(Unauthorized):
        await chats.create(new_id())


Call = Callable[[Chats, str, str | None, str], Coroutine[Any, Any, Any]]
CALLS: dict[str, Call] = {
    "get": lambda chats, chat, who, _: chats.get(chat, who),
    "update": lambda chats, chat, who, _: chats.update(chat, who, title="Mine now"),
    "update nothing": lambda chats, chat, who, _: chats.update(chat, who),
    "delete": lambda chats, chat, who, _: chats.delete(chat, who),
    "messages": lambda chats, chat, who, _: chats.messages(chat, who),
    "message": lambda chats, chat, who, message: chats.message(chat, message, who),
    "exchange": lambda chats, chat, who, message: chats.exchange(chat, who, message, message),
    "question_of": lambda chats, chat, who, message: chats.question_of(chat, message, who),
    "feedback": lambda chats, chat, who, message: chats.give_feedback(chat, message, who, True),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_anothers_chat_looks_like_none_and_stays_as_it_is(
    call: Call, database: Database, chats: Chats, published: Published
) -> None:
    ada, bob = await add_user(database, "ada"), await add_user(database, "bob")
    rows = await add_chat(database, ada, title="Ada's", turns=[("Q", "A")])
    for chat_id, caller in ((rows.id, bob), (rows.id, None), (new_id(), bob), (new_id(), None)):
        with pytest.raises(NotFound, match=r"^No such chat\.$"):
            await call(chats, chat_id, caller, rows.answers[0])
    assert (await chats.get(rows.id, ada)).title == "Ada's"
    assert [message.feedback for message in await chats.messages(rows.id, ada)] == [None, None]
    assert published == []


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_nobodys_chat_is_reached_by_its_id(call: Call, database: Database, chats: Chats) -> None:
    ada = await add_user(database)
    for caller in (ada, None):
        rows = await add_chat(database, None, turns=[("Q", "A")])
        await call(chats, rows.id, caller, rows.answers[0])


async def test_a_message_is_found_in_its_own_chat_only(database: Database, chats: Chats) -> None:
    ada = await add_user(database)
    mine = await add_chat(database, ada, turns=[("Q", "A")])
    bobs = await add_chat(database, await add_user(database, "bob"), turns=[("Q", "A")])
    for message_id in (bobs.answers[0], new_id()):
        for call in ("message", "exchange", "question_of", "feedback"):
            with pytest.raises(NotFound, match=r"^No such message\.$"):
                await CALLS[call](chats, mine.id, ada, message_id)


async def test_the_list_has_a_users_own_chats_the_last_changed_first(database: Database, chats: Chats) -> None:
    ada, bob = await add_user(database, "ada"), await add_user(database, "bob")
    rows = [await add_chat(database, ada, at=START + timedelta(minutes=n)) for n in (3, 1, 2)]
    await add_chat(database, bob)
    await add_chat(database, None)
    assert await ids_of(chats, ada) == [rows[0].id, rows[2].id, rows[1].id]
    assert await chats.page(None, 1, 20) == Page([], 0, 1, 20)


async def test_pages_together_are_the_whole_list_even_where_times_are_equal(database: Database, chats: Chats) -> None:
    ada = await add_user(database)
    made = [(await add_chat(database, ada)).id for _ in range(7)]
    pages = [await chats.page(ada, number, 3) for number in (1, 2, 3, 4)]
    assert [[chat.id for chat in page.items] for page in pages] == [
        made[:3:-1], made[3:0:-1], made[:1], [],
    ]  # fmt: skip
    assert {(page.total, page.pages, page.page_size) for page in pages} == {(7, 3, 3)}
    assert (await chats.page(ada, 1_000_000, 100)).items == []
    assert (await chats.page(await add_user(database, "bob"), 1, 20)).pages == 0


async def test_archived_chats_are_listed_alone_or_left_out(database: Database, chats: Chats) -> None:
    ada = await add_user(database)
    old = (await add_chat(database, ada, title="x", is_archived=True)).id
    new = (await add_chat(database, ada, title="x")).id
    assert await ids_of(chats, ada) == [new, old]
    assert await ids_of(chats, ada, archived=True) == [old]
    assert await ids_of(chats, ada, archived=False) == [new]
    assert await ids_of(chats, ada, "x", archived=True) == [old]
    assert (await chats.page(ada, 1, 20, archived=True)).total == 1


@pytest.mark.parametrize(
    ("title", "query"),
    [
        ("Liquidation of loans", "LIQUID"),
        ("ÜBER Zinsen", "über"),
        ("über Zinsen", "ÜBER"),
        ("Éclair", "éclair"),
        ("E\u0301clair", "éclair"),
        ("Éclair", "e\u0301clair"),
        ("кредит под залог", "КРЕДИТ"),
        ("Кредит под залог", "кредит под"),
        ("什么是清算", "清算"),
        ("100% safe", "0% s"),
        ("snake_case", "e_c"),
        ("back\\slash", "k\\s"),
        ("it's; DROP TABLE chat", "it's;"),
        ("loans", "  loans "),
    ],
)
async def test_a_search_finds_titles_and_messages_whatever_the_case(
    title: str, query: str, database: Database, chats: Chats
) -> None:
    ada = await add_user(database)
    titled = (await add_chat(database, ada, title=title)).id
    asked = (await add_chat(database, ada, title="Other", turns=[(f"Tell me: {title}?", "Well.")])).id
    told = (await add_chat(database, ada, turns=[("Tell me.", f"So: {title}.")])).id
    await add_chat(database, ada, title="Other", turns=[("Tell me.", "Well.")])
    await add_chat(database, None, title=title)
    await add_chat(database, await add_user(database, "bob"), title=title)
    assert await ids_of(chats, ada, query) == [told, asked, titled]


@pytest.mark.parametrize("query", ["%", "_", "a%d", "a_c", "\\", "\\%", "%%", "abd"])
async def test_signs_that_mean_something_to_the_database_mean_themselves(
    query: str, database: Database, chats: Chats
) -> None:
    ada = await add_user(database)
    await add_chat(database, ada, title="abcd", turns=[("abcd", "abcd")])
    assert await ids_of(chats, ada, query) == []


async def test_a_search_for_white_space_is_no_search(database: Database, chats: Chats) -> None:
    ada = await add_user(database)
    chat = (await add_chat(database, ada)).id
    assert await ids_of(chats, ada, "  ") == [chat]


async def test_a_search_looks_at_the_conversation_as_it_stands(database: Database, chats: Chats) -> None:
    ada = await add_user(database)
    await add_chat(database, ada, turns=[TurnRow("about staking", superseded=True), TurnRow("about lending")])
    assert await ids_of(chats, ada, "staking") == []
    assert len(await ids_of(chats, ada, "lending")) == 1


async def test_a_search_has_pages_too(database: Database, chats: Chats) -> None:
    ada = await add_user(database)
    made = [(await add_chat(database, ada, title="loan", turns=[("loan", "loan")])).id for _ in range(5)]
    found = await chats.page(ada, 2, 2, "loan")
    assert [chat.id for chat in found.items] == [made[2], made[1]]
    assert (found.total, found.pages) == (5, 3)
    assert (await chats.page(ada, 9, 2, "loan")) == Page([], 5, 9, 2)


async def test_what_is_given_changes_and_the_rest_stays(
    database: Database, chats: Chats, clock: Time, published: Published
) -> None:
    ada = await add_user(database)
    chat = (await chats.create(ada, "First", {"a": 1})).id
    clock.pass_by(seconds=1.5)
    changed = await chats.update(chat, ada, title="Second")
    assert (changed.title, changed.metadata, changed.is_archived) == ("Second", {"a": 1}, False)
    assert changed.updated_at == clock.now
    assert changed.created_at == START
    changed = await chats.update(chat, ada, metadata={}, is_archived=True)
    assert (changed.title, changed.metadata, changed.is_archived) == ("Second", {}, True)
    assert (await chats.update(chat, ada, title=None)) == await chats.get(chat, ada)
    assert [(chat_id, kind) for chat_id, kind, _ in published] == [(chat, "chat.updated")] * 3
    assert published[0][2] == {
        "id": chat, "title": "Second", "metadata": {"a": 1}, "created_at": "2026-01-05T09:30:00Z",
        "updated_at": "2026-01-05T09:30:01.500000Z", "agent_id": None, "is_archived": False, "message_count": 0,
    }  # fmt: skip
    assert published[2][2]["title"] is None


async def test_a_change_of_nothing_is_none(database: Database, chats: Chats, clock: Time, published: Published) -> None:
    chat = await chats.create(None, "First")
    clock.pass_by(hours=1)
    assert await chats.update(chat.id, None) == chat
    assert published == []


async def test_a_changed_chat_comes_first(database: Database, chats: Chats, clock: Time) -> None:
    ada = await add_user(database)
    older, newer = [(await add_chat(database, ada, at=START + timedelta(minutes=n))).id for n in range(2)]
    clock.pass_by(hours=1)
    await chats.update(older, ada, title="Again")
    assert await ids_of(chats, ada) == [older, newer]


async def test_a_deleted_chat_takes_all_its_own_along_and_nothing_else(
    database: Database, chats: Chats, published: Published
) -> None:
    ada = await add_user(database)
    stays = await add_chat(database, ada, turns=[("Q", "A")])
    goes = await add_chat(database, ada, turns=[("Q", "A"), ("Q", "A")])
    for rows in (stays, goes):
        await chats.give_feedback(rows.id, rows.answers[0], ada, True)
    await chats.delete(goes.id, ada)
    assert published == [(goes.id, "chat.deleted", {"id": goes.id})]
    with pytest.raises(NotFound):
        await chats.get(goes.id, ada)
    with pytest.raises(NotFound):
        await chats.delete(goes.id, ada)
    async with database.read() as session:
        counts = [
            (await session.execute(select(func.count()).select_from(table))).scalar_one()
            for table in (Chat, ChatMessage, Run, Feedback)
        ]
    assert counts == [1, 2, 1, 1]


async def test_idle_chats_of_nobody_are_deleted_the_oldest_first(database: Database, chats: Chats) -> None:
    ada = await add_user(database)
    idle = [(await add_chat(database, at=START + timedelta(days=n), turns=[("Q", "A")])).id for n in range(3)]
    fresh = (await add_chat(database, at=START + timedelta(days=9))).id
    owned = (await add_chat(database, ada, at=START)).id
    before = START + timedelta(days=9)
    assert await chats.delete_idle_anonymous(before, limit=2) == 2
    assert (await chats.get(idle[2], None)).id == idle[2]
    assert await chats.delete_idle_anonymous(before) == 1
    assert await chats.delete_idle_anonymous(before) == 0
    async with database.read() as session:
        left = set((await session.execute(select(Chat.id))).scalars())
    assert left == {fresh, owned}


async def test_one_connection_is_enough(database_url: str) -> None:
    database = Database(open_engine(database_url, pool_size=1, pool_timeout=2))
    try:
        chats = Chats(database, clock=Time(), publish=lambda *_: None)
        rows = await add_chat(database, turns=[("Q", "A")])
        await asyncio.gather(
            chats.messages(rows.id, None),
            chats.update(rows.id, None, title="x"),
            chats.give_feedback(rows.id, rows.answers[0], None, True),
            chats.question_of(rows.id, rows.answers[0], None),
        )
    finally:
        await database.close()


async def test_a_page_is_read_from_the_index_of_a_users_chats(database: Database, chats: Chats) -> None:
    """Neither the total nor the rows before the page are looked up in the table, nor is anything sorted."""
    ada = await add_user(database)
    await add_chat(database, ada)
    for statement, parameters in await statements(database, chats.page(ada, 1, 20)):
        if "IN (" in statement:
            continue  # the rows that are shown
        plan = await plan_of(database, statement, parameters)
        assert "IX__chat__user_id_updated_at_id" in plan, plan
        assert "TEMP B-TREE" not in plan, plan
        assert "Sort" not in plan, plan
        assert "COVERING INDEX" in plan or "Index Only Scan" in plan, plan


async def statements(database: Database, call: Coroutine[Any, Any, Any]) -> list[tuple[str, Any]]:
    """The SQL that a call sends, with its parameters."""
    seen: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, parameters))

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    try:
        await call
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)
    assert len(seen) == 3
    return seen


async def plan_of(database: Database, statement: str, parameters: Any) -> str:
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    async with database.engine.connect() as connection:
        if not database.is_sqlite:
            for kind in ("seqscan", "bitmapscan"):  # a table of one row is always walked over
                await connection.execute(text(f"SET LOCAL enable_{kind} = off"))
        rows = await connection.exec_driver_sql(explain + statement, parameters)
        return "\n".join(str(row[-1]) for row in rows)
