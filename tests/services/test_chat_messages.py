"""Messages of chats on both databases: in order, with their runs; branches; what readers think of answers."""

import asyncio

import pytest
from sqlalchemy import func, select

from infrastructure.database.engine import Database
from infrastructure.database.models import ChatMessage, Feedback, new_id
from infrastructure.errors import Conflict, InvalidInput, NotFound
from services.chats import Chats
from tests.services.chat_rows import CITATION, START, Time, TurnRow, add_chat, add_user


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def chats(database: Database, clock: Time) -> Chats:
    return Chats(database, clock=clock, publish=lambda *_: None)


async def test_messages_come_in_order_with_what_their_run_tells(database: Database, chats: Chats) -> None:
    ada = await add_user(database)
    rows = await add_chat(
        database, ada, turns=[("One?", "First. [2]"), TurnRow("Two?", "Sec", "incomplete"), TurnRow("Three?", None)]
    )
    messages = await chats.messages(rows.id, ada)
    assert [(m.role, m.content, m.status) for m in messages] == [
        ("user", "One?", "complete"),
        ("assistant", "First. [2]", "complete"),
        ("user", "Two?", "complete"),
        ("assistant", "Sec", "incomplete"),
        ("user", "Three?", "complete"),
    ]
    assert [m.parent_id for m in messages] == [None, *(m.id for m in messages[:-1])]
    question, answer, _, cut = messages[:4]
    assert (answer.citations, answer.confidence, answer.model) == ([CITATION], 0.9, "extractive")
    assert (answer.prompt_tokens, answer.completion_tokens, answer.duration_ms) == (12, 7, 8.5)
    assert (answer.run_id, answer.chat_id, answer.created_at) == (rows.runs[0], rows.id, START)
    assert (question.citations, question.confidence, question.model, question.run_id) == ([], None, None, None)
    assert (cut.citations, cut.model) == ([], None)
    assert await chats.message(rows.id, answer.id, ada) == answer
    assert await chats.exchange(rows.id, ada, question.id, answer.id) == (question, answer)


async def test_an_answer_that_is_not_there_yet_makes_no_exchange(database: Database, chats: Chats) -> None:
    rows = await add_chat(database, turns=[TurnRow("One?", None)])
    with pytest.raises(NotFound, match=r"^No such message\.$"):
        await chats.exchange(rows.id, None, rows.questions[0], rows.answers[0])


async def test_older_branches_are_shown_when_asked_for(database: Database, chats: Chats) -> None:
    rows = await add_chat(database, turns=[TurnRow("Old?", superseded=True), TurnRow("New?")])
    assert [m.content for m in await chats.messages(rows.id, None)] == ["New?", "An answer."]
    everything = await chats.messages(rows.id, None, superseded=True)
    assert [(m.content, m.superseded_at) for m in everything] == [
        ("Old?", START), ("An answer.", START), ("New?", None), ("An answer.", None),
    ]  # fmt: skip
    assert (await chats.message(rows.id, rows.answers[0], None)).superseded_at == START


async def test_a_chat_whose_messages_are_all_superseded_is_there(database: Database, chats: Chats) -> None:
    rows = await add_chat(database, turns=[TurnRow("Old?", superseded=True)])
    assert await chats.messages(rows.id, None) == []


async def test_a_question_is_found_by_itself_and_by_its_answer(database: Database, chats: Chats) -> None:
    rows = await add_chat(database, turns=[("One?", "A"), ("Two?", "B")])
    for message_id in (rows.questions[1], rows.answers[1]):
        assert await chats.question_of(rows.id, message_id, None) == rows.questions[1]


@pytest.mark.parametrize(("role", "error"), [("system", InvalidInput), ("tool", InvalidInput), ("assistant", Conflict)])
async def test_what_has_no_question_is_not_answered_anew(
    role: str, error: type[Exception], database: Database, chats: Chats
) -> None:
    rows = await add_chat(database)
    message = ChatMessage(
        id=new_id(), chat_id=rows.id, position=1, role=role, content="x", status="complete", created_at=START
    )
    async with database.write() as session:
        session.add(message)
    with pytest.raises(error):
        await chats.question_of(rows.id, message.id, None)


async def test_feedback_given_again_takes_the_place_of_the_first(database: Database, chats: Chats, clock: Time) -> None:
    rows = await add_chat(database, turns=[("Q", "A")])
    answer = rows.answers[0]
    first = await chats.give_feedback(rows.id, answer, None, True, "Good.")
    assert (first.message_id, first.is_positive, first.feedback_text, first.created_at) == (
        answer,
        True,
        "Good.",
        START,
    )
    clock.pass_by(hours=1)
    second = await chats.give_feedback(rows.id, answer, None, False, None)
    assert (second.is_positive, second.feedback_text, second.created_at) == (False, None, clock.now)
    message = await chats.message(rows.id, answer, None)
    assert message.feedback == {"is_positive": False, "feedback_text": None}


async def test_feedback_of_many_at_once_is_one(database: Database, chats: Chats) -> None:
    rows = await add_chat(database, turns=[("Q", "A")])
    await asyncio.gather(*(chats.give_feedback(rows.id, rows.answers[0], None, bool(n % 2)) for n in range(8)))
    async with database.read() as session:
        assert (await session.execute(select(func.count()).select_from(Feedback))).scalar_one() == 1


async def test_feedback_is_for_answers(database: Database, chats: Chats) -> None:
    rows = await add_chat(database, turns=[("Q", "A")])
    with pytest.raises(InvalidInput):
        await chats.give_feedback(rows.id, rows.questions[0], None, True)
