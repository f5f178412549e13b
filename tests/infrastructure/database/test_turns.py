"""Turns on both databases: each message has one place, request ids begin one run, branches are left and stay."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from infrastructure.database.engine import Database
from infrastructure.database.models import Chat, ChatMessage, Run, new_id
from infrastructure.database.repositories.messages import MessageRepository
from infrastructure.database.repositories.turns import TITLE_CHARS, BegunTurn, KnownTurn, title_of
from infrastructure.errors import Conflict, InvalidInput, NotFound
from tests.infrastructure.database.turning import START, Turns, another_process, new_turn
from tests.services.chat_rows import add_chat, add_user

DAY = timedelta(hours=24)


@pytest_asyncio.fixture
async def turns(database: Database) -> AsyncIterator[Turns]:
    turns = Turns(database)
    yield turns
    await turns.group.aclose()


async def test_a_first_question_begins_its_chat(turns: Turns) -> None:
    turn = new_turn(new_id(), "What is\n staking?")
    begun = await turns.begin(turn)
    assert (begun.before, begun.asked_at, begun.position) == (0, 1, 2)
    assert (begun.question, begun.message_id, begun.branched) == (turn.question, turn.message_id, False)
    (message,) = await turns.messages(turn.chat_id)
    assert (message.id, message.position, message.role, message.status) == (turn.message_id, 1, "user", "complete")
    assert (message.content, message.parent_id, message.created_at) == (turn.question, None, START)
    chat = await turns.chat(turn.chat_id)
    assert (chat.message_count, chat.last_position, chat.user_id) == (2, 2, None)  # the answer counts beforehand
    run = await turns.run(turn.run_id)
    assert (run.outcome, run.answer_id, run.answer_position, run.worker) == (None, turn.answer_id, 2, "test")


async def test_nobodys_chat_has_its_title_at_once_and_a_users_with_its_first_answer(turns: Turns) -> None:
    ada = await add_user(turns.database)
    nobodys, hers = new_turn(new_id(), "What is staking?"), new_turn(new_id(), "What is staking?", owner=ada)
    assert (await turns.begin(nobodys)).titled
    begun = await turns.begin(hers)
    assert not begun.titled
    assert (await turns.chat(nobodys.chat_id)).title == "What is staking?"
    assert (await turns.chat(hers.chat_id)).title is None
    await turns.end(hers, begun, title="Staking")
    chat = await turns.chat(hers.chat_id)
    assert (chat.title, chat.user_id) == ("Staking", ada)


async def test_a_title_that_somebody_gave_stays(turns: Turns) -> None:
    chat = (await add_chat(turns.database)).id
    turn = new_turn(chat)
    begun = await turns.begin(turn)
    async with turns.database.write() as session:
        await session.execute(text("UPDATE chat SET title = 'Mine'"))
    await turns.end(turn, begun, title="Theirs")
    assert (await turns.chat(chat)).title == "Mine"


async def test_an_answer_takes_the_place_that_was_kept_for_it(turns: Turns) -> None:
    turn = new_turn(new_id())
    later = turn.at + timedelta(seconds=3)
    facts = {"outcome": "no_relevant_answer", "model": "m", "confidence": 0.25, "grounded": False,
             "citations": [{"id": 1, "quote": "é"}], "last_seq": 9, "finished_at": later}  # fmt: skip
    await turns.end(turn, await turns.begin(turn), "I do not know.", at=later, run=facts)
    question, answer = await turns.messages(turn.chat_id)
    assert (answer.id, answer.position, answer.parent_id) == (turn.answer_id, 2, question.id)
    assert (answer.role, answer.status, answer.content, answer.run_id) == (
        "assistant", "complete", "I do not know.", turn.run_id,
    )  # fmt: skip
    chat, run = await turns.chat(turn.chat_id), await turns.run(turn.run_id)
    assert (chat.message_count, chat.last_position, chat.updated_at) == (2, 2, START)
    assert {name: getattr(run, name) for name in facts} == facts


async def test_each_turn_follows_the_answer_before_it_also_where_that_is_yet_to_come(turns: Turns) -> None:
    chat = new_id()
    first, second, third = new_turn(chat), new_turn(chat), new_turn(chat)
    begun = [await turns.begin(turn) for turn in (first, second, third)]
    assert [(turn.before, turn.asked_at, turn.position) for turn in begun] == [(0, 1, 2), (2, 3, 4), (4, 5, 6)]
    for turn, its in zip((third, first, second), (begun[2], begun[0], begun[1]), strict=True):  # as they happen to end
        await turns.end(turn, its)
    messages = await turns.messages(chat)
    assert [message.position for message in messages] == [1, 2, 3, 4, 5, 6]
    assert [message.parent_id for message in messages] == [None, *(message.id for message in messages[:-1])]


async def test_what_is_known_of_the_last_answer_is_used_only_where_it_is_the_last(turns: Turns) -> None:
    chat = new_id()
    first = await turns.exchange(chat)
    second = await turns.exchange(chat, after=(2, first.answer_id))
    third = await turns.exchange(chat, after=(2, first.answer_id))
    parents = [message.parent_id for message in await turns.messages(chat) if message.role == "user"]
    assert parents == [None, first.answer_id, second.answer_id]
    assert third.message_id == (await turns.messages(chat))[4].id


async def test_two_processes_that_write_one_chat_at_once_keep_one_order(turns: Turns, database_url: str) -> None:
    chat, each = new_id(), 10  # few: SQLite has no line, and lets who waits too long for the others fail
    async with another_process(database_url) as others, another_process(database_url) as third:
        writers = (turns, others, third)
        asked = [writer.exchange(chat, f"{number}") for number in range(each) for writer in writers]
        mine = await asyncio.gather(*asked)
    messages = await turns.messages(chat)
    assert [message.position for message in messages] == list(range(1, 6 * each + 1))
    assert [message.role for message in messages] == ["user", "assistant"] * (3 * each)
    assert [message.parent_id for message in messages] == [None, *(message.id for message in messages[:-1])]
    assert {message.id for message in messages} == {i for turn in mine for i in (turn.message_id, turn.answer_id)}
    state = await turns.chat(chat)
    assert (state.message_count, state.last_position) == (6 * each, 6 * each)


async def test_two_processes_that_write_many_chats_at_once_do_not_lock_each_other_out(
    turns: Turns, database_url: str
) -> None:
    chats = [new_id() for _ in range(12)]
    async with another_process(database_url) as others:
        rounds = [
            writer.exchange(chat)
            for number in range(5)
            for writer, order in ((turns, chats), (others, list(reversed(chats))))
            for chat in order[number:] + order[:number]
        ]
        await asyncio.gather(*rounds)
    for chat in chats:
        assert [message.position for message in await turns.messages(chat)] == list(range(1, 21))


async def test_a_request_id_begins_one_run(turns: Turns) -> None:
    chat = new_id()
    first = new_turn(chat, request_id="r1", digest="d1")
    begun = await turns.begin(first)
    known = KnownTurn(first.run_id, first.message_id, first.answer_id)
    assert await turns.begin_or_join(new_turn(chat, request_id="r1", digest="d1")) == known
    await turns.end(first, begun)
    assert await turns.begin_or_join(new_turn(chat, request_id="r1", digest="d1")) == known
    assert (await turns.count(Run), len(await turns.messages(chat)), (await turns.chat(chat)).message_count) == (
        1,
        2,
        2,
    )


async def test_a_request_id_comes_with_one_question(turns: Turns) -> None:
    chat = new_id()
    await turns.exchange(chat, request_id="r1", digest="d1")
    with pytest.raises(Conflict, match="was used for another question"):
        await turns.begin(new_turn(chat, request_id="r1", digest="d2"))
    assert len(await turns.messages(chat)) == 2


async def test_a_request_id_counts_within_its_chat(turns: Turns) -> None:
    chats = [new_id() for _ in range(3)]
    begun = await asyncio.gather(*(turns.begin(new_turn(c, c, request_id="r1", digest=c)) for c in chats))
    assert [its.position for its in begun] == [2, 2, 2]
    for chat in chats:
        assert isinstance(await turns.begin_or_join(new_turn(chat, chat, request_id="r1", digest=chat)), KnownTurn)


async def test_a_request_id_is_forgotten_after_a_day(turns: Turns) -> None:
    chat = new_id()
    first = await turns.exchange(chat, request_id="r1", digest="d1")
    almost = new_turn(chat, request_id="r1", digest="d1", at=START + DAY - timedelta(seconds=1))
    assert isinstance(await turns.begin_or_join(almost), KnownTurn)
    second = await turns.exchange(chat, request_id="r1", digest="d2", at=START + DAY)
    assert (await turns.run(first.run_id)).request_id is None
    assert (await turns.run(second.run_id)).request_id == "r1"
    again = await turns.begin_or_join(new_turn(chat, request_id="r1", digest="d2", at=START + DAY))
    assert again == KnownTurn(second.run_id, second.message_id, second.answer_id)


async def test_of_two_processes_with_one_request_id_one_begins_a_run(turns: Turns, database_url: str) -> None:
    async with another_process(database_url) as others:
        for _ in range(10):
            chat = new_id()
            asked = [new_turn(chat, request_id="r1", digest="d1") for _ in range(4)]
            results = await asyncio.gather(
                *(writer.begin_or_join(turn) for writer, turn in zip((turns, others) * 2, asked, strict=True))
            )
            (run,) = (turn for turn, result in zip(asked, results, strict=True) if isinstance(result, BegunTurn))
            known = [result for result in results if isinstance(result, KnownTurn)]
            assert known == [KnownTurn(run.run_id, run.message_id, run.answer_id)] * 3
            assert [message.id for message in await turns.messages(chat)] == [run.message_id]


async def test_an_edit_leaves_the_branch_from_its_message_on(turns: Turns) -> None:
    chat = new_id()
    first = await turns.exchange(chat, "q1", "a1")
    second = await turns.exchange(chat, "q2", "a2")
    await turns.exchange(chat, "q3", "a3")
    edit = new_turn(chat, "q2, rather", edits=second.message_id, at=START + DAY)
    begun = await turns.begin(edit)
    assert (begun.before, begun.asked_at, begun.position, begun.branched) == (6, 7, 8, True)
    assert (await turns.chat(chat)).message_count == 4
    await turns.end(edit, begun, "a2, rather")
    assert await turns.current(chat) == ["q1", "a1", "q2, rather", "a2, rather"]
    state = await turns.chat(chat)
    assert (state.message_count, state.last_position) == (4, 8)
    messages = await turns.messages(chat)
    assert [message.superseded_at for message in messages] == [None] * 2 + [START + DAY] * 4 + [None] * 2
    assert messages[6].parent_id == first.answer_id


async def test_a_question_that_is_answered_anew_stays_and_its_answer_is_left(turns: Turns) -> None:
    chat = new_id()
    await turns.exchange(chat, "q1", "a1")
    second = await turns.exchange(chat, "q2", "a2")
    await turns.exchange(chat, "q3", "a3")
    again = new_turn(chat, "", regenerates=second.message_id)
    begun = await turns.begin(again)
    assert (begun.question, begun.message_id, begun.asked_at) == ("q2", second.message_id, 3)
    assert (begun.before, begun.position, begun.branched) == (6, 8, True)
    assert (await turns.chat(chat)).message_count == 4
    await turns.end(again, begun, "a2, better")
    assert await turns.current(chat) == ["q1", "a1", "q2", "a2, better"]
    assert (await turns.chat(chat)).message_count == 4
    answer = (await turns.messages(chat))[-1]
    assert (answer.id, answer.position, answer.parent_id) == (again.answer_id, 8, second.message_id)
    next_one = await turns.exchange(chat, "q4", "a4")
    assert (await turns.messages(chat))[-2].id == next_one.message_id
    assert (await turns.messages(chat))[-2].parent_id == again.answer_id


async def test_older_branches_can_be_read(turns: Turns) -> None:
    chat = new_id()
    first = await turns.exchange(chat, "q1", "a1")
    await turns.exchange(chat, "q1, rather", "a1, rather", edits=first.message_id)
    async with turns.database.read() as session:
        repository = MessageRepository(session)
        now = [message.content for message in await repository.of_chat(chat, None)]
        ever = [message.content for message in await repository.of_chat(chat, None, superseded=True)]
    assert now == ["q1, rather", "a1, rather"]
    assert ever == ["q1", "a1", "q1, rather", "a1, rather"]


async def test_a_message_of_an_older_branch_is_neither_edited_nor_answered_anew(turns: Turns) -> None:
    chat = new_id()
    first = await turns.exchange(chat, "q1", "a1")
    await turns.exchange(chat, "q1, rather", edits=first.message_id)
    for what in ({"edits": first.message_id}, {"regenerates": first.message_id}):
        with pytest.raises(Conflict, match="older branch"):
            await turns.begin(new_turn(chat, **what))
    assert len(await turns.messages(chat)) == 4


async def test_only_a_users_message_of_the_same_chat_is_edited_or_answered_anew(turns: Turns) -> None:
    chat, other = new_id(), new_id()
    mine, elsewhere = await turns.exchange(chat), await turns.exchange(other)
    for name in ("edits", "regenerates"):
        with pytest.raises(InvalidInput):
            await turns.begin(new_turn(chat, **{name: mine.answer_id}))
        for missing in (elsewhere.message_id, new_id()):
            with pytest.raises(NotFound, match=r"^No such message\.$"):
                await turns.begin(new_turn(chat, **{name: missing}))
    assert await turns.current(chat) == ["Why?", "Because."]
    assert (await turns.chat(chat)).last_position == 2


async def test_a_foreign_chat_is_as_missing_as_one_that_never_was(turns: Turns) -> None:
    ada, eve = await add_user(turns.database), await add_user(turns.database, "eve")
    hers = (await add_chat(turns.database, ada)).id
    for turn in (
        new_turn(hers, owner=eve),
        new_turn(hers, owner=None),
        new_turn(hers, owner=eve, creates=False),
        new_turn(new_id(), creates=False),
    ):
        with pytest.raises(NotFound, match=r"^No such chat\.$"):
            await turns.begin(turn)
    assert await turns.count(ChatMessage) == await turns.count(Run) == 0
    assert await turns.count(Chat) == 1
    assert isinstance(await turns.begin(new_turn(hers, owner=ada)), BegunTurn)


async def test_nobodys_chat_is_whoever_knows_its_id(turns: Turns) -> None:
    chat, ada = new_id(), await add_user(turns.database)
    await turns.exchange(chat)
    await turns.exchange(chat, owner=ada)
    assert (await turns.chat(chat)).user_id is None
    assert len(await turns.messages(chat)) == 4


async def test_one_batch_begins_ends_and_refuses(turns: Turns) -> None:
    ended_chat, missing, fresh = new_id(), new_id(), [new_id() for _ in range(5)]
    turn = new_turn(ended_chat)
    begun = await turns.begin(turn)
    results = await asyncio.gather(
        turns.begin(new_turn(missing, creates=False)),
        turns.end(turn, begun),
        *(turns.begin(new_turn(chat)) for chat in fresh),
        return_exceptions=True,
    )
    assert isinstance(results[0], NotFound)
    assert results[1] is None
    assert [result.position for result in results[2:] if isinstance(result, BegunTurn)] == [2] * 5
    assert await turns.current(ended_chat) == ["Why?", "Because."]


async def test_the_answer_to_a_deleted_chat_is_kept_nowhere_and_takes_no_other_with_it(turns: Turns) -> None:
    gone, stays = new_turn(new_id()), new_turn(new_id())
    begun = [await turns.begin(turn) for turn in (gone, stays)]
    async with turns.database.write() as session:
        await session.delete(await session.get_one(Chat, gone.chat_id))
    results = await asyncio.gather(turns.end(gone, begun[0]), turns.end(stays, begun[1]), return_exceptions=True)
    assert isinstance(results[0], IntegrityError)
    assert results[1] is None
    assert await turns.messages(gone.chat_id) == []
    assert await turns.current(stays.chat_id) == ["Why?", "Because."]


async def test_an_answer_is_kept_once(turns: Turns) -> None:
    turn = new_turn(new_id())
    begun = await turns.begin(turn)
    await turns.end(turn, begun)
    with pytest.raises(IntegrityError):
        await turns.end(turn, begun, "Another.")
    assert await turns.current(turn.chat_id) == ["Why?", "Because."]
    assert (await turns.chat(turn.chat_id)).message_count == 2


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("What is staking?", "What is staking?"),
        ("  What\n is\tstaking?  ", "What is staking?"),
        ("a" * TITLE_CHARS, "a" * TITLE_CHARS),
        ("a" * (TITLE_CHARS + 1), "a" * (TITLE_CHARS - 1) + "…"),
        ("word " * 30, ("word " * 15).rstrip() + "…"),
        ("", ""),
    ],
)
def test_a_title_is_the_question_cut_at_a_word(question: str, title: str) -> None:
    assert title_of(question) == title
    assert len(title) <= TITLE_CHARS
